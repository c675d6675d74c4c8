"""Combines the many small pieces of an answer into frames.

A frame costs 0.13 ms of CPU across the mesh. So the first piece is sent at once, and later ones are collected for 25 ms.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from mesh.clock import SYSTEM_CLOCK, Clock

R = TypeVar("R")

FRAME_SECONDS = 0.025
HEARTBEAT_SECONDS = 15.0


class PieceQueue(Generic[R]):
    """A queue between the task that reads the provider and the one that writes frames. The length of an answer bounds it."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._queue: asyncio.Queue[str | R | None] = asyncio.Queue()

    def put(self, item: str | R) -> None:
        """Adds a piece of text, or the result."""
        self._queue.put_nowait(item)

    def end(self) -> None:
        """Marks the end of the pieces."""
        self._queue.put_nowait(None)

    async def frames(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> AsyncIterator[str | R | None]:
        """Combined text and the result, in order; None after every `heartbeat_seconds` of silence."""
        gathered: list[str] = []
        due = 0.0
        while True:
            wait = max(0.0, due - self._now()) if gathered else heartbeat_seconds
            item, silent = await self._next(wait)
            if isinstance(item, str):
                gathered.append(item)
                if self._now() < due:
                    continue
            if gathered:
                yield "".join(gathered)
                gathered.clear()
                due = self._now() + FRAME_SECONDS
            elif silent:
                yield None
            if not silent and not isinstance(item, str):
                if item is None:
                    return
                yield item

    async def _next(self, wait: float) -> tuple[str | R | None, bool]:
        if not self._queue.empty():
            return self._queue.get_nowait(), False
        try:
            async with asyncio.timeout(wait):
                return await self._queue.get(), False
        except TimeoutError:
            return None, True
