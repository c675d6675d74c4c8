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
KEPT_OF_FILTER = 200
READ_AT_ONCE = 500
POLL_SECONDS = 1.0
"""How long it may take to find new events if their notification was lost."""
GATHER_SECONDS = 0.02
"""Watchers are woken at most this often."""


class EventTail:
    """Follows the log while it is watched. Costs one query for each notification, and one query a second without any.

    Watchers with the same filter share a tail of the events that match it, and only they are woken for them. So an event costs as much
    as there are watchers who see it, however many others there are.
    """

    def __init__(self, store: EventStore, notifier: EventNotifier) -> None:
        self._store = store
        self._notifier = notifier
        self._log = _tail(KEPT_EVENTS)
        self._by_filter: dict[EventFilter, Tail[Event]] = {}
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
    def watching(self, wanted: EventFilter) -> Iterator[asyncio.Event]:
        """Yields an event that is set whenever there may be more of the wanted events. The watcher clears it."""
        if not self._by_filter:
            self._log.reset()  # the log was not followed since the last watcher left
        tail = self._by_filter.get(wanted)
        if tail is None:
            tail = self._by_filter[wanted] = _tail(KEPT_OF_FILTER)
            if self._log.started:
                tail.start(self._log.end)
        try:
            with tail.watching() as grown:
                self._watched.set()
                yield grown
        finally:
            if not tail.watched:
                del self._by_filter[wanted]
            if not self._by_filter:
                self._watched.clear()

    def wake(self) -> None:
        """Wakes every watcher."""
        for tail in self._by_filter.values():
            tail.wake()

    def since(self, position: int, wanted: EventFilter) -> tuple[Sequence[Event], int] | None:
        """Returns the wanted events after `position`, and the position up to which they are complete. For use within `watching`.

        Returns None if the tail does not reach back that far.
        """
        events = self._by_filter[wanted].since(position)
        if events is None:
            newer = self._log.since(position)
            if newer is None:
                return None
            events = [event for event in newer if wanted.matches(event)]
        return events, max(position, self._log.end)

    async def _poll(self) -> None:
        try:
            await self._read()
        except ServiceUnavailable as error:
            if not self._failing:
                log.warning("log_not_followed", error=error.message)
            self._failing = True
            return
        except Exception as error:
            log.error("log_not_followed", exc_info=error)
            return
        self._failing = False

    async def _read(self) -> None:
        """Reads the new events, and wakes those who see them."""
        if not self._log.started:
            self._start(await self._store.head())
            return
        more = True
        while more:
            page = await self._store.list(EventQuery(EventFilter(None), READ_AT_ONCE, after=self._log.end))
            for tail in self._append(page.events):
                await tail.wake_in_turn()
            more = page.more

    def _start(self, position: int) -> None:
        for tail in (self._log, *self._by_filter.values()):
            tail.start(position)
            tail.wake()

    def _append(self, events: Sequence[Event]) -> Sequence[Tail[Event]]:
        """Adds the next events of the log. Returns the tails that have grown."""
        self._log.append(events)
        grown: dict[EventFilter, Tail[Event]] = {}
        for event in events:
            for wanted in EventFilter.all_of(event) & self._by_filter.keys():
                grown[wanted] = self._by_filter[wanted]
                grown[wanted].append([event])
        return [*grown.values()]


def _tail(capacity: int) -> Tail[Event]:
    return Tail(capacity, attrgetter("position"))
