"""Events, and queries of the event log."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Event:
    """A fact in the event log."""

    position: int
    event_id: UUID
    event_type: str
    aggregate_id: str
    occurred_at: datetime
    source: str
    data: Mapping[str, Any]
    metadata: Mapping[str, Any]
    user_id: int | None
    """The user who owns the event; None if it belongs to no user."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects the events of user `sees` (None: all users), optionally of one type or one aggregate; an empty string selects all."""

    sees: int | None
    event_type: str = ""
    aggregate_id: str = ""

    def matches(self, event: Event) -> bool:
        return (
            (self.sees is None or event.user_id == self.sees)
            and (not self.event_type or event.event_type == self.event_type)
            and (not self.aggregate_id or event.aggregate_id == self.aggregate_id)
        )

    @staticmethod
    def all_of(event: Event) -> "Set[EventFilter]":
        """Every filter that matches the event: at most eight, so that its watchers are found without asking each."""
        return {
            EventFilter(sees, event_type, aggregate_id)
            for sees in (None, event.user_id)
            for event_type in ("", event.event_type)
            for aggregate_id in ("", event.aggregate_id)
        }


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Asks for one page of events with `after < position < before`, ordered by position."""

    filter: EventFilter
    page_size: int
    after: int = 0
    before: int | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class EventPage:
    events: Sequence[Event]
    more: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Shows that the watch is alive: the watcher has received every event up to `position`."""

    position: int


AGENT_TOPIC, WORKFLOW_TOPIC, USER_TOPIC = TOPICS = ("agentmesh.agent", "agentmesh.workflow", "agentmesh.user")


def topic_of(event_type: str) -> str:
    """Returns the Kafka topic of an event type: the agent or the workflow topic, and the user topic for all other types."""
    return {"agent": AGENT_TOPIC, "workflow": WORKFLOW_TOPIC}.get(event_type.partition(".")[0], USER_TOPIC)
