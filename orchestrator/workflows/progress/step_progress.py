"""A step while its run is locked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestrator.workflows.model import Retry, Step


@dataclass(slots=True)
class StepProgress:
    """A step with the fields that only the engine uses."""

    step: Step
    depends_on: Sequence[str]
    retry: Retry
    waiting: int
    """How many of `depends_on` are not completed."""
    epoch: int = 0
    owner: UUID | None = None
    lease_until: datetime | None = None
    crashes: int = 0
    due_at: datetime | None = None
    """When a READY step may be claimed."""
    missing_since: datetime | None = None
    """When the step's agent was first missing from the catalogue; None if it is present."""
