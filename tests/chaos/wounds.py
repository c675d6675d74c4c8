"""What a storm does to a stack: SIGKILL after SIGKILL, while its clients go on calling."""

import asyncio
import signal
from collections import Counter

from redis.asyncio import Redis

from deploy.local.errors import LaunchError
from deploy.local.process import Process
from deploy.local.stack import Stack
from deploy.local.waiting import holds_within

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
        victim = process.pid
        process.kill(signal.SIGKILL)
        self.killed[process.name] += 1

        async def dead() -> bool:
            return not process.running or process.pid != victim

        assert await holds_within(10, dead)


async def revived(process: Process) -> None:
    """Starts it at once: the supervisor would do so as well, with pauses that grow for what dies again and again."""
    while not process.running:
        try:
            await process.revive()
        except LaunchError:  # PostgreSQL may be dead, too
            await asyncio.sleep(0.2)
