"""The newest part of the event log, read once for all watchers in this process."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter

import structlog

from mesh.errors import ServiceUnavailable
from mesh.memory.tail import Tail
from orchestrator.events.model import Event, EventFilter, EventQuery
from orchestrator.events.ports import EventNotifier, EventStore

log = structlog.get_logger()

KEPT_EVENTS = 2000
READ_AT_ONCE = 500
POLL_SECONDS = 1.0
"""How long it may take to find new events if their notification was lost."""
GATHER_SECONDS = 0.02
"""Watchers are woken at most this often."""


class EventTail:
    """Follows the log while it is watched. Costs one query for each notification, and one query a second without any."""

    def __init__(self, store: EventStore, notifier: EventNotifier) -> None:
        self._store = store
        self._notifier = notifier
        self._tail = Tail[Event](KEPT_EVENTS, attrgetter("position"))
        self._watched = asyncio.Event()
        self._failing = False

    async def run(self) -> None:
        """Follows the log until cancelled. Retries while the database is unavailable."""
        with self._notifier.subscribe() as subscription:
            while True:
                await self._watched.wait()
                await self._poll()
                await asyncio.sleep(GATHER_SECONDS)
                await subscription.wait(POLL_SECONDS)

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """Yields an event that is set whenever there may be more events. The watcher clears it."""
        if not self._tail.watched:
            self._tail.reset()  # the log was not followed since the last watcher left
        try:
            with self._tail.watching() as grown:
                self._watched.set()
                yield grown
        finally:
            if not self._tail.watched:
                self._watched.clear()

    def wake(self) -> None:
        """Wakes every watcher."""
        self._tail.wake()

    def since(self, position: int, wanted: EventFilter) -> tuple[Sequence[Event], int] | None:
        """Returns the wanted events after `position`, and the position up to which they are complete.

        Returns None if the tail does not reach back that far.
        """
        newer = self._tail.since(position)
        if newer is None:
            return None
        return [event for event in newer if wanted.matches(event)], max(position, self._tail.end)

    async def _poll(self) -> None:
        try:
            grown = await self._read()
        except ServiceUnavailable as error:
            if not self._failing:
                log.warning("log_not_followed", error=error.message)
            self._failing = True
            return
        except Exception as error:
            log.error("log_not_followed", exc_info=error)
            return
        self._failing = False
        if grown:
            self._tail.wake()

    async def _read(self) -> bool:
        """Reads the new events; returns whether the tail has changed."""
        if not self._tail.started:
            self._tail.start(await self._store.head())
            return True
        grown, more = False, True
        while more:
            page = await self._store.list(EventQuery(EventFilter(None), READ_AT_ONCE, after=self._tail.end))
            self._tail.append(page.events)
            grown, more = grown or bool(page.events), page.more
        return grown
