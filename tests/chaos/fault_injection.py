"""What a storm does to a stack: SIGKILL after SIGKILL, while its clients go on calling."""

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
"""How long a new orchestrator serves before it is killed; with its start this makes a kill about every three seconds."""
OTHERS = ("agents-0", "redis", "postgres", "envoy")
FIRST_SECONDS, EVERY_SECONDS = 2.5, 4.0
"""When the first of the others is killed, and how long it is until the next."""


class Storm:
    """Kills processes of one stack. `killed` counts the blows."""

    def __init__(self, stack: Stack) -> None:
        self.killed: Counter[str] = Counter()
        self._stack = stack

    async def rage(self, seconds: float) -> None:
        """Kills for that long, and returns with the last orchestrator on its way back."""
        killers = [asyncio.create_task(self._kill_orchestrators()), asyncio.create_task(self._kill_others())]
        done, _ = await asyncio.wait(killers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for killer in killers:
            killer.cancel()
        await asyncio.gather(*killers, return_exceptions=True)
        for killer in done:
            await killer  # neither ends by itself: it has failed, and says how

    async def _kill_orchestrators(self) -> None:
        orchestrator = self._stack.process("orchestrator")
        while True:
            await asyncio.sleep(PEACE_SECONDS)
            await self._kill(orchestrator)
            await revived(orchestrator)

    async def _kill_others(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            for name in OTHERS:
                if name == "redis":
                    async with Redis.from_url(self._stack.redis_url) as client:
                        await client.flushall()
                await self._kill(self._stack.process(name))
                await asyncio.sleep(EVERY_SECONDS)

    async def _kill(self, process: Process) -> None:
        await killed(process)
        self.killed[process.name] += 1


WORKERS = ("worker", "worker-1")


@dataclass(frozen=True, slots=True)
class Fault:
    """What was hurt, and when, in seconds of the epoch."""

    name: str
    at: float


class Weather:
    """What durable workflows must survive: a worker is killed every few seconds, everything they stand on now and then."""

    WORKERS_SECONDS, ORCHESTRATOR_SECONDS, REDIS_SECONDS = 5.0, 20.0, 60.0

    def __init__(self, stack: Stack) -> None:
        self.faults: list[Fault] = []
        self.began = time.time()
        self._stack = stack
        self._reviving: set[asyncio.Task[None]] = set()

    @property
    def killed(self) -> Counter[str]:
        """How often each was hurt."""
        return Counter(fault.name for fault in self.faults)

    async def rage(self, seconds: float) -> None:
        """Hurts one after another for that long, and returns when everything is back."""
        self.began = time.time()
        async with asyncio.TaskGroup() as blows:
            blows.create_task(self._each_in_turn(WORKERS, 2.5, self.WORKERS_SECONDS, seconds))
            blows.create_task(self._each_in_turn(["orchestrator"], 9, self.ORCHESTRATOR_SECONDS, seconds))
            blows.create_task(self._each_in_turn(["redis"], 14, self.REDIS_SECONDS, seconds))
            blows.create_task(self._each_in_turn(["postgres"], seconds / 2, seconds, seconds))
        await asyncio.gather(*self._reviving)

    async def _each_in_turn(self, names: Sequence[str], first: float, every: float, until: float) -> None:
        ends = self.began + until
        for name, number in zip(cycle(names), count()):
            at = self.began + first + number * every
            if max(at, time.time()) >= ends:
                return
            await asyncio.sleep(at - time.time())
            await self._hurt(name)

    async def _hurt(self, name: str) -> None:
        process = self._stack.process(name)
        # On a busy machine a start takes longer than the time between two blows: one worker is always there to go on.
        for needed in WORKERS if name in WORKERS else (name,):
            await revived(self._stack.process(needed))
        if name == "redis":
            async with Redis.from_url(self._stack.redis_url) as client:
                await client.flushall()
        self.faults.append(Fault(name, time.time()))
        if name == "postgres":  # in an orderly way, and every connection breaks
            self._meanwhile(process.restart())
        else:
            await killed(process)
            self._meanwhile(revived(process))

    def _meanwhile(self, work: Awaitable[None]) -> None:
        self._reviving.add(asyncio.ensure_future(work))


async def killed(process: Process) -> None:
    """SIGKILL; returns when it has died of it."""
    victim = process.pid
    process.kill(signal.SIGKILL)

    async def dead() -> bool:
        return not process.running or process.pid != victim

    assert await holds_within(10, dead)


async def revived(process: Process) -> None:
    """Starts it at once, until it is ready: the supervisor would do so as well, with pauses that grow for what dies again and again."""
    while True:
        with suppress(LaunchError):  # PostgreSQL may be dead, too
            await process.revive()
            if process.running:
                return
        await asyncio.sleep(0.2)
