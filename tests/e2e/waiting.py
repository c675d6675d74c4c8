"""Waiting for what another process does: there is no event to wait for, so it is asked again and again, within a bound."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.02


async def eventually(condition: Callable[[], Awaitable[T]], within: float = PATIENCE_SECONDS) -> T:
    """The first true value of `condition`; TimeoutError when there is none within that many seconds."""
    async with asyncio.timeout(within):
        while not (value := await condition()):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    return value
