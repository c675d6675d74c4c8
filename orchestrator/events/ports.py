"""What events need of the world."""

from contextlib import AbstractContextManager
from typing import Protocol

from orchestrator.events.model import EventPage, EventQuery


class EventStore(Protocol):
    """Reads the log. Raises ServiceUnavailable when it cannot be read."""

    async def head(self) -> int:
        """The last position that has been given; whatever comes later is after it."""
        ...

    async def list(self, query: EventQuery) -> EventPage:
        """A page of events."""
        ...


class Subscription(Protocol):
    async def wait(self, seconds: float) -> bool:
        """Whether the notifier has notified since the last wait, or does so within `seconds`."""
        ...


class EventNotifier(Protocol):
    """Notifications in every process when the log has grown. It may miss a time: whoever waits looks by himself once in a while."""

    def subscribe(self) -> AbstractContextManager[Subscription]:
        """A subscription for as long as the context lasts."""
        ...
