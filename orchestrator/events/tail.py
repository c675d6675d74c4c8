"""The newest part of the log, read once for all who watch it in this process."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile

import structlog

from mesh.errors import ServiceUnavailable
from orchestrator.events.model import Event, EventFilter, EventQuery
from orchestrator.events.ports import EventNotifier, EventStore

log = structlog.get_logger()

KEPT_EVENTS = 2000
READ_AT_ONCE = 500
LOOK_SECONDS = 1.0
"""How long a growth that no notifier told of may stay unseen."""
GATHER_SECONDS = 0.02
"""Watchers are woken at most this often."""


class EventTail:
    """Follows the log while somebody watches; costs one query for each notification of the notifier, and one a second without any."""

    def __init__(self, store: EventStore, notifier: EventNotifier) -> None:
        self._store = store
        self._notifier = notifier
        self._kept: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._begin: int | None = None
        self._end = 0
        self._watchers: set[asyncio.Event] = set()
        self._watched = asyncio.Event()
        self._lost = False

    async def run(self) -> None:
        """Follows until cancelled; a database that is gone is tried again."""
        with self._notifier.subscribe() as subscription:
            while True:
                await self._watched.wait()
                await self._look()
                await asyncio.sleep(GATHER_SECONDS)
                await subscription.wait(LOOK_SECONDS)

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be more; the watcher clears it."""
        grown = asyncio.Event()
        if not self._watchers:
            self._begin = None  # nobody has followed since the last one left
        self._watchers.add(grown)
        self._watched.set()
        try:
            yield grown
        finally:
            self._watchers.discard(grown)
            if not self._watchers:
                self._watched.clear()

    def since(self, position: int, wanted: EventFilter) -> tuple[Sequence[Event], int] | None:
        """What is wanted after `position`, and up to where that is all of it; None when the tail does not reach back so far."""
        if self._begin is None or position < self._begin:
            return None
        newer = [*takewhile(lambda event: event.position > position, reversed(self._kept))]
        return [event for event in reversed(newer) if wanted.matches(event)], max(position, self._end)

    async def _look(self) -> None:
        try:
            grown = await self._read()
        except ServiceUnavailable as error:
            if not self._lost:
                log.warning("log_not_followed", error=error.message)
            self._lost = True
            return
        except Exception as error:
            log.error("log_not_followed", exc_info=error)
            return
        self._lost = False
        if grown:
            for watcher in self._watchers:
                watcher.set()

    async def _read(self) -> bool:
        if self._begin is None:
            self._kept.clear()
            self._begin = self._end = await self._store.head()
            return True
        grown, more = False, True
        while more:
            page = await self._store.list(EventQuery(EventFilter(None), READ_AT_ONCE, after=self._end))
            for event in page.events:
                self._keep(event)
            grown, more = grown or bool(page.events), page.more
        return grown

    def _keep(self, event: Event) -> None:
        if len(self._kept) == KEPT_EVENTS:
            self._begin = self._kept[0].position
        self._kept.append(event)
        self._end = event.position
