"""Lists and watches the event log."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ServiceUnavailable
from mesh.rpc.requests.paging import LARGEST_PAGE
from mesh.waiting import set_within
from orchestrator.events.model import Event, EventFilter, EventPage, EventQuery, Heartbeat
from orchestrator.events.ports import EventStore
from orchestrator.events.tail import EventTail

HEARTBEAT_SECONDS = 15.0
READERS = 4
"""How many watchers may read the database at the same time. When hundreds reconnect at once, the others wait, because connections
are scarce."""


class EventService:
    """Shows callers the events that they may see."""

    def __init__(
        self, store: EventStore, tail: EventTail, heartbeat_seconds: float = HEARTBEAT_SECONDS, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._now = clock.monotonic
        self._store = store
        self._tail = tail
        self._heartbeat = heartbeat_seconds
        self._reading = asyncio.Semaphore(READERS)
        self._stopping = False

    async def list(self, query: EventQuery) -> EventPage:
        """Returns a page of at most 200 events."""
        return await self._store.list(replace(query, page_size=min(query.page_size, LARGEST_PAGE)))

    async def watch(self, wanted: EventFilter, after: int | None) -> AsyncGenerator[Event | Heartbeat, None]:
        """Yields every event after the position (None: from now on), then each new event, and a Heartbeat after 15 s without an event.

        Never ends. Raises ServiceUnavailable if the log cannot be read or this process stops.
        """
        with self._tail.watching(wanted) as grown:
            position = await self._head() if after is None else after
            async for item in self._follow(wanted, position, grown):
                yield item

    def stop(self) -> None:
        """Ends every watch with ServiceUnavailable."""
        self._stopping = True
        self._tail.wake()

    async def _follow(self, wanted: EventFilter, position: int, grown: asyncio.Event) -> AsyncIterator[Event | Heartbeat]:
        last_sent = self._now()
        while True:
            self._raise_if_stopping()
            grown.clear()
            newest = self._tail.since(position, wanted)
            events, position, more = (*newest, False) if newest else await self._read(wanted, position)
            for event in events:
                yield event
            if events:
                last_sent = self._now()
            elif self._now() - last_sent >= self._heartbeat:
                yield Heartbeat(position)
                last_sent = self._now()
            if not more:
                await set_within(grown, last_sent + self._heartbeat - self._now())

    async def _head(self) -> int:
        async with self._reading:
            return await self._store.head()

    async def _read(self, wanted: EventFilter, position: int) -> tuple[Sequence[Event], int, bool]:
        """Reads a page. Returns it, the position up to which it is complete, and whether more events are already stored."""
        async with self._reading:
            head = await self._store.head()
            page = await self._store.list(EventQuery(wanted, LARGEST_PAGE, after=position))
        last = page.events[-1].position if page.events else position
        return page.events, last if page.more else max(head, last), page.more

    def _raise_if_stopping(self) -> None:
        if self._stopping:
            message = "this server is stopping; watch again with after_position set to the last position that you received"
            raise ServiceUnavailable(message, component="orchestrator")
