"""The newest part of an ordered log, kept in memory for its watchers."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Generic, TypeVar

from mesh.waiting import set_in_turn

Item = TypeVar("Item")


class Tail(Generic[Item]):
    """Keeps up to `capacity` items: every item of the log with `begin < position <= end`. Wakes its watchers when it grows.

    Positions increase but may have gaps. The owner reads the log and appends; the tail itself does no I/O.
    """

    def __init__(self, capacity: int, position_of: Callable[[Item], int]) -> None:
        self._position_of = position_of
        self._items: deque[Item] = deque(maxlen=capacity)
        self._begin: int | None = None
        self._end = 0
        self._watchers: set[asyncio.Event] = set()

    @property
    def started(self) -> bool:
        return self._begin is not None

    @property
    def end(self) -> int:
        """The position of the newest item, or the position at which the tail started."""
        return self._end

    @property
    def watched(self) -> bool:
        return bool(self._watchers)

    def start(self, position: int) -> None:
        """Empties the tail. It then covers the log after `position`."""
        self._items.clear()
        self._begin = self._end = position

    def reset(self) -> None:
        """Empties the tail. It then covers nothing until it is started."""
        self._items.clear()
        self._begin = None

    def append(self, items: Iterable[Item]) -> None:
        """Adds the next items of the log, in order. The oldest items are dropped when the tail is full."""
        for item in items:
            if len(self._items) == self._items.maxlen:
                self._begin = self._position_of(self._items[0])
            self._items.append(item)
            self._end = self._position_of(item)

    def since(self, position: int) -> list[Item] | None:
        """Returns every item after `position`, oldest first; None if the tail does not reach back that far."""
        if self._begin is None or position < self._begin:
            return None
        return [*takewhile(lambda item: self._position_of(item) > position, reversed(self._items))][::-1]

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """Yields an event that is set whenever there may be more items. The watcher clears it."""
        grown = asyncio.Event()
        self._watchers.add(grown)
        try:
            yield grown
        finally:
            self._watchers.discard(grown)

    def wake(self) -> None:
        """Wakes every watcher."""
        for grown in self._watchers:
            grown.set()

    async def wake_in_turn(self) -> None:
        """Wakes every watcher, a few at a time."""
        await set_in_turn(self._watchers)
