"""Keeps a set of programs running: starts them in the order of their needs, starts again what dies, stops them in reverse."""

import asyncio
import time
from collections.abc import Callable, Sequence

from deploy.local.errors import LaunchError
from deploy.local.supervision.process import Process, describe_end

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
SETTLED_SECONDS = 5.0

Report = Callable[[str], None]


class Supervisor:
    """Owns the processes in `groups`, which stop one group after the other, the last first; `report` tells a person what happens."""

    def __init__(self, groups: Sequence[Sequence[Process]], report: Report) -> None:
        self._groups = groups
        self._report = report
        self._processes = {process.name: process for group in groups for process in group}
        self._watchers: list[asyncio.Task[None]] = []

    def process(self, name: str) -> Process:
        """The process of that name; KeyError when there is none."""
        return self._processes[name]

    async def start(self) -> None:
        """Starts everything, each as soon as those it comes after are ready. LaunchError of the first that does not become ready."""
        ready = {name: asyncio.Event() for name in self._processes}
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes.values():
                    group.create_task(self._start_in_turn(process, ready))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        self._watchers = [asyncio.create_task(self._watch(process)) for process in self._processes.values()]

    async def stop(self) -> None:
        """Stops everything, in reverse; each program is given its time and then ended hard."""
        await self._unwatch()
        for group in reversed(self._groups):
            await asyncio.gather(*(process.stop() for process in group))

    def kill(self) -> None:
        """Ends every program hard and at once; `stop`, waiting or called after it, then has nothing left to wait for."""
        for process in self._processes.values():
            process.end_hard()

    async def _start_in_turn(self, process: Process, ready: dict[str, asyncio.Event]) -> None:
        for name in process.spec.after:
            await ready[name].wait()
        began = time.monotonic()
        await process.start()
        ready[process.name].set()
        self._report(f"{process.name} is ready ({time.monotonic() - began:.1f} s)")

    async def _watch(self, process: Process) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            code = await process.crashes.get()
            if time.monotonic() - began > SETTLED_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._report(f"{process.name} {describe_end(code)}; starting it again in {pause:g} s. {process.end_of_log()}")
            pause = await self._revive(process, pause)

    async def _revive(self, process: Process, pause: float) -> float:
        """Tries until the process is ready again, or was stopped on purpose; returns the pause to make after the next crash."""
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

    async def _unwatch(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._watchers = []
