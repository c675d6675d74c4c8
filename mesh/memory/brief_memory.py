"""A short-lived cache, so that a busy caller is not looked up at every call."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.tasks import awaited

K = TypeVar("K")
V = TypeVar("V")


class BriefMemory(Generic[K, V]):
    """Remembers what `load` found for `seconds`, for at most `most` keys. Does not remember that nothing was found.

    Concurrent requests for the same key share one look-up.
    """

    def __init__(self, load: Callable[[K], Awaitable[V | None]], seconds: float, most: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._load = load
        self._seconds = seconds
        self._most = most
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V | None]] = {}

    async def get(self, key: K) -> V | None:
        """The value of the key, at most `seconds` old; None if there is none."""
        known = self._known.get(key)
        if known is not None and known[0] > self._now():
            return known[1]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = awaited(self._look_up(key))
            task.add_done_callback(_retrieved)
        return await asyncio.shield(task)  # a caller that is cancelled must not cancel the look-up for the others

    def forget(self, key: K) -> None:
        """Makes every later `get` look the key up again, even while a look-up is in progress."""
        self._known.pop(key, None)
        self._loading.pop(key, None)

    async def _look_up(self, key: K) -> V | None:
        task = asyncio.current_task()
        asked = self._now()  # the value is at least this fresh
        try:
            value = await self._load(key)
        finally:
            current = self._loading.get(key) is task
            if current:
                del self._loading[key]
        if current and value is not None:
            self._remember(key, value, asked)
        return value

    def _remember(self, key: K, value: V, asked: float) -> None:
        self._known[key] = (asked + self._seconds, value)
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)


def _retrieved(task: "asyncio.Task[V | None]") -> None:
    if not task.cancelled():
        task.exception()  # even if every caller was cancelled
