"""Waiting for a condition in another process or task that sends no signal when it changes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.01


@overload
async def eventually(condition: Callable[[], Awaitable[T | None]], within: float = PATIENCE_SECONDS) -> T: ...
@overload
async def eventually(condition: Callable[[], bool], within: float = PATIENCE_SECONDS) -> bool: ...
async def eventually(condition: Callable[[], Any], within: float = PATIENCE_SECONDS) -> Any:
    """Poll `condition`, a function or a coroutine function, and return its first true value.

    Raises TimeoutError if there is none within `within` seconds.
    """
    async with asyncio.timeout(within):
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(POLL_SECONDS)
