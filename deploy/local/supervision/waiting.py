"""Polls for conditions that raise no event, such as the readiness or the end of another program."""

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.02


async def holds_within(seconds: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Waits until `condition` returns True; returns False if that takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110 (it happens in another process: there is no event to wait for)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True
