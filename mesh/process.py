"""Runs a process's main coroutine on uvloop until SIGTERM or SIGINT."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop


def run_until_stopped(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Calls `main` with an event that a signal to stop sets; returns when it returns."""

    async def guarded() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(guarded())
