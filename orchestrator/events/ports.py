"""The ports of the event log."""

from contextlib import AbstractContextManager
from typing import Protocol

from orchestrator.events.model import EventPage, EventQuery


class EventStore(Protocol):
    """Reads the event log. Raises ServiceUnavailable if it cannot be read."""

    async def head(self) -> int:
        """Returns the last assigned position. Every later event has a larger one."""
        ...

    async def list(self, query: EventQuery) -> EventPage: ...


class Subscription(Protocol):
    async def wait(self, seconds: float) -> bool:
        """Waits up to `seconds` for a notification. Returns True at once if one arrived since the last call."""
        ...


class EventNotifier(Protocol):
    """Notifies every process when the log grows. A notification can be lost, so subscribers also poll."""

    def subscribe(self) -> AbstractContextManager[Subscription]:
        """Returns a subscription that ends with the context."""
        ...
