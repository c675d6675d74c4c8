"""Events as the log has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Event:
    """A fact that stands in the log."""

    position: int
    event_id: UUID
    event_type: str
    aggregate_id: str
    occurred_at: datetime
    source: str
    data: Mapping[str, Any]
    metadata: Mapping[str, Any]
    user_id: int | None
    """Whose it is; None when it belongs to nobody."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: those that `sees` may see (None: everybody's), perhaps of one type or one aggregate; empty for all."""

    sees: int | None
    event_type: str = ""
    aggregate_id: str = ""

    def takes(self, event: Event) -> bool:
        """Whether the event is one of them."""
        return (
            (self.sees is None or event.user_id == self.sees)
            and (not self.event_type or event.event_type == self.event_type)
            and (not self.aggregate_id or event.aggregate_id == self.aggregate_id)
        )


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A page of those with `after < position` and `position < before`, by position."""

    filter: EventFilter
    page_size: int
    after: int = 0
    before: int | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, and whether there are more."""

    events: Sequence[Event]
    more: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing has come for a while. Up to `position` there is nothing more for the watcher."""

    position: int


AGENT_TOPIC, WORKFLOW_TOPIC, USER_TOPIC = TOPICS = ("agentmesh.agent", "agentmesh.workflow", "agentmesh.user")


def topic_of(event_type: str) -> str:
    """The Kafka topic of a type of event: its agent's, its workflow's, and for all else its user's."""
    return {"agent": AGENT_TOPIC, "workflow": WORKFLOW_TOPIC}.get(event_type.partition(".")[0], USER_TOPIC)
