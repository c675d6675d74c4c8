"""Keeps a set of programs running: starts them in order of dependency, restarts those that die or hang, stops them in reverse order."""

import asyncio
from collections.abc import Callable, Sequence

from deploy.local.errors import LaunchError
from deploy.local.supervision.process import Process, describe_end
from mesh.clock import SYSTEM_CLOCK
from mesh.tasks import BackgroundTasks

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
SETTLED_SECONDS = 5.0
PROBES = 6
"""Health checks in the time after which a process that answers none of them is killed."""
FEWEST_PROBES = 3
"""Unanswered checks before a process is killed: a launcher that was itself suspended must not kill everything when it wakes up."""

Report = Callable[[str], None]


class Supervisor:
    """Owns the processes in `groups`, which stop one group after the other, the last first; `report` gets a line for the operator.

    A process that has not answered its health check for `liveness_seconds` is killed and restarted; 0 turns this off. `tasks` supervises
    the watchers: without its watcher, a process that dies would stay dead.
    """

    def __init__(self, groups: Sequence[Sequence[Process]], report: Report, tasks: BackgroundTasks, liveness_seconds: float = 0) -> None:
        self._groups = groups
        self._tasks = tasks
        self._report = report
        self._liveness = liveness_seconds
        self._processes = {process.name: process for group in groups for process in group}
        self._watchers: list[asyncio.Task[None]] = []

    def process(self, name: str) -> Process:
        """The process of that name. Raises KeyError if there is none."""
        return self._processes[name]

    async def start(self) -> None:
        """Starts every process as soon as those it depends on are ready. Raises the LaunchError of the first that does not become ready."""
        ready = {name: asyncio.Event() for name in self._processes}
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes.values():
                    group.create_task(self._start_in_turn(process, ready))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        for process in self._processes.values():
            self._watchers.append(self._tasks.start(f"watcher of {process.name}", self._watch(process)))
            if self._liveness and process.spec.alive is not None:
                self._watchers.append(self._tasks.start(f"health checks of {process.name}", self._probe(process)))

    async def stop(self) -> None:
        """Stops every process, in reverse order; one that takes longer than its `stop_seconds` is killed."""
        await self._tasks.stop(*self._watchers)
        self._watchers = []
        for group in reversed(self._groups):
            await asyncio.gather(*(process.stop() for process in group))

    def kill(self) -> None:
        """Kills every process at once; a `stop` in progress then returns at once too."""
        for process in self._processes.values():
            process.end_hard()

    async def _start_in_turn(self, process: Process, ready: dict[str, asyncio.Event]) -> None:
        for name in process.spec.after:
            await ready[name].wait()
        began = SYSTEM_CLOCK.monotonic()
        await process.start()
        ready[process.name].set()
        self._report(f"{process.name} is ready ({SYSTEM_CLOCK.monotonic() - began:.1f} s)")

    async def _watch(self, process: Process) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = SYSTEM_CLOCK.monotonic()
            code = await process.crashes.get()
            if SYSTEM_CLOCK.monotonic() - began > SETTLED_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._report(f"{process.name} {describe_end(code)}; restarting it in {pause:g} s. {process.end_of_log()}")
            pause = await self._revive(process, pause)

    async def _revive(self, process: Process, pause: float) -> float:
        """Tries until the process is ready again or was stopped deliberately; returns the pause before the next restart."""
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            try:
                await process.revive()
            except LaunchError as error:
                self._report(f"{error}\n  trying again in {pause:g} s")
            else:
                if process.running:
                    self._report(f"{process.name} is ready again")
                return pause

    async def _probe(self, process: Process) -> None:
        """Kills the process when it hangs; `_watch` then restarts it."""
        alive = process.spec.alive
        assert alive is not None
        pause = self._liveness / PROBES
        pid, answered, missed = None, SYSTEM_CLOCK.monotonic(), 0
        while True:
            await asyncio.sleep(pause)
            if not process.serving:
                pid = None
            elif process.pid != pid or await alive(pause):
                pid, answered, missed = process.pid if process.running else None, SYSTEM_CLOCK.monotonic(), 0
            else:
                missed += 1
                if missed >= FEWEST_PROBES and SYSTEM_CLOCK.monotonic() - answered >= self._liveness and process.serving:
                    self._report(f"{process.name} has not answered its health check for {self._liveness:g} s; killing it")
                    process.end_hard()
                    pid = None
