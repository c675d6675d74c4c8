"""Counts the events of each user by day and type, from Kafka."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.adapters.events.tables import event_counts
from orchestrator.events.model import Event

NOBODY = 0


class EventCounts:
    """Maintains the table `event_counts`. Days are in UTC."""

    name = "agentmesh-event-counts"

    async def handle(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        counts = Counter((event.occurred_at.astimezone(UTC).date(), event.event_type, event.user_id or NOBODY) for event in events)
        # All members of the group lock the rows in the same order; otherwise they could deadlock.
        rows = [{"day": day, "event_type": kind, "user_id": user, "events": n} for (day, kind, user), n in sorted(counts.items())]
        statement = insert(event_counts).values(rows)
        total = event_counts.c.events + statement.excluded.events
        await connection.execute(statement.on_conflict_do_update(index_elements=event_counts.primary_key, set_={"events": total}))
