"""The port of analytics."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from orchestrator.analytics.model import Measured, Range, SubjectPage, SubjectQuery


class UsageStore(Protocol):
    """Reads figures. `owner` is a user, or EVERYBODY. An empty `agent_id` means all agents. Raises ServiceUnavailable."""

    async def counted_until(self) -> datetime | None:
        """When the last counted execution ended; None before the first."""
        ...

    async def points(self, owner: int, agent_id: str, edges: Sequence[datetime]) -> Sequence[Measured]:
        """Returns the figures between each two edges."""
        ...

    async def reasons(self, owner: int, agent_id: str, within: Range, limit: int) -> Sequence[tuple[str, int]]:
        """Returns the errors and how often they occurred, the most frequent first."""
        ...

    async def subjects(self, query: SubjectQuery) -> SubjectPage:
        """Returns a page of the subjects of a group; `query.group` is not DAY."""
        ...
