"""Remembers what was looked up for a moment, so that a busy caller is not looked up at every call."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BriefMemory(Generic[K, V]):
    """What `load` found, for `seconds`; of `most` things at once. What is not there is asked for again.

    Those who ask for the same thing at the same time wait for one look-up.
    """

    def __init__(self, load: Callable[[K], Awaitable[V | None]], seconds: float, most: int) -> None:
        self._load = load
        self._seconds = seconds
        self._most = most
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V | None]] = {}

    async def get(self, key: K) -> V | None:
        """What there is under the key, now or a moment ago."""
        known = self._known.get(key)
        if known is not None and known[0] > _now():
            return known[1]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._look_up(key))
            task.add_done_callback(_retrieved)
        return await asyncio.shield(task)  # a caller who goes away takes the answer from nobody

    def forget(self, key: K) -> None:
        """Has the key looked up anew: by those who ask from now on, even while a look-up is under way."""
        self._known.pop(key, None)
        self._loading.pop(key, None)

    async def _look_up(self, key: K) -> V | None:
        task = asyncio.current_task()
        asked = _now()  # what is told was true then, or later
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
        task.exception()  # also when everybody who asked has gone


def _now() -> float:
    return asyncio.get_running_loop().time()
