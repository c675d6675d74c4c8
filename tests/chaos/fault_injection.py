"""The faults of a storm: SIGKILL after SIGKILL, while the clients keep calling."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, cycle

from redis.asyncio import Redis

from deploy.local.errors import LaunchError
from deploy.local.stack import Stack
from deploy.local.supervision.process import Process
from deploy.local.supervision.waiting import holds_within

PEACE_SECONDS = 1.5
"""How long a new orchestrator serves at least before it is killed. It serves for as long as its start took, so on a slow machine the
clients get their calls through half of the time as well."""
OTHERS = ("agents-0", "redis", "postgres", "envoy")
FIRST_SECONDS, EVERY_SECONDS = 2.5, 4.0
"""When the first of the other processes is killed, and the interval between kills. The next waits until the last is back."""


class Storm:
    """Kills processes of one stack. `killed` counts the kills by name."""

    def __init__(self, stack: Stack) -> None:
        self.killed: Counter[str] = Counter()
        self._stack = stack

    async def run(self, seconds: float) -> None:
        """Kill for this long; returns while the last orchestrator is restarting."""
        killers = [asyncio.create_task(self._kill_orchestrators()), asyncio.create_task(self._kill_others())]
        done, _ = await asyncio.wait(killers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for killer in killers:
            killer.cancel()
        await asyncio.gather(*killers, return_exceptions=True)
        for killer in done:
            await killer  # neither ends by itself: a task that did has failed, and raises its error

    async def _kill_orchestrators(self) -> None:
        orchestrator = self._stack.process("orchestrator")
        peace = PEACE_SECONDS
        while True:
            await asyncio.sleep(peace)
            began = time.monotonic()
            await self._kill(orchestrator)
            await revived(orchestrator)
            peace = max(PEACE_SECONDS, time.monotonic() - began)

    async def _kill_others(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            for name in OTHERS:
                if name == "redis":
                    async with Redis.from_url(self._stack.redis_url) as client:
                        await client.flushall()
                began = time.monotonic()
                await self._kill(self._stack.process(name))
                await revived(self._stack.process(name))
                await asyncio.sleep(began + EVERY_SECONDS - time.monotonic())

    async def _kill(self, process: Process) -> None:
        await killed(process)
        self.killed[process.name] += 1


WORKERS = ("worker", "worker-1")


@dataclass(frozen=True, slots=True)
class Fault:
    """The process that was killed or restarted, and when, in seconds since the epoch."""

    name: str
    at: float


class WorkflowFaults:
    """The faults that durable workflows must survive: a worker is killed every few seconds, and their dependencies now and then."""

    WORKERS_SECONDS, ORCHESTRATOR_SECONDS, REDIS_SECONDS = 5.0, 20.0, 60.0

    def __init__(self, stack: Stack) -> None:
        self.faults: list[Fault] = []
        self.began = time.time()
        self._stack = stack
        self._reviving: set[asyncio.Task[None]] = set()

    @property
    def killed(self) -> Counter[str]:
        """The number of faults by process."""
        return Counter(fault.name for fault in self.faults)

    async def run(self, seconds: float) -> None:
        """Inject faults for this long; returns when every process is running again."""
        self.began = time.time()
        async with asyncio.TaskGroup() as kills:
            kills.create_task(self._each_in_turn(WORKERS, 2.5, self.WORKERS_SECONDS, seconds))
            kills.create_task(self._each_in_turn(["orchestrator"], 9, self.ORCHESTRATOR_SECONDS, seconds))
            kills.create_task(self._each_in_turn(["redis"], 14, self.REDIS_SECONDS, seconds))
            kills.create_task(self._each_in_turn(["postgres"], seconds / 2, seconds, seconds))
        await asyncio.gather(*self._reviving)

    async def _each_in_turn(self, names: Sequence[str], first: float, every: float, until: float) -> None:
        ends = self.began + until
        for name, number in zip(cycle(names), count()):
            at = self.began + first + number * every
            if max(at, time.time()) >= ends:
                return
            await asyncio.sleep(at - time.time())
            await self._inject(name)

    async def _inject(self, name: str) -> None:
        process = self._stack.process(name)
        # On a busy machine a start takes longer than the interval between two faults, so one worker must be running before the next fault.
        for needed in WORKERS if name in WORKERS else (name,):
            await revived(self._stack.process(needed))
        if name == "redis":
            async with Redis.from_url(self._stack.redis_url) as client:
                await client.flushall()
        self.faults.append(Fault(name, time.time()))
        if name == "postgres":  # an orderly restart, which breaks every connection
            self._in_background(process.restart())
        else:
            await killed(process)
            self._in_background(revived(process))

    def _in_background(self, work: Awaitable[None]) -> None:
        self._reviving.add(asyncio.ensure_future(work))


async def killed(process: Process) -> None:
    """Send SIGKILL and wait until the process has died."""
    pid = process.pid
    process.kill(signal.SIGKILL)

    async def dead() -> bool:
        return not process.running or process.pid != pid

    assert await holds_within(10, dead)


async def revived(process: Process) -> None:
    """Start the process at once and until it is ready. The supervisor would too, but with growing pauses for a process that keeps dying."""
    while True:
        with suppress(LaunchError):  # PostgreSQL may be down as well
            await process.revive()
            if process.running:
                return
        await asyncio.sleep(0.2)
