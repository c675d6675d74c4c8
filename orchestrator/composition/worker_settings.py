"""The settings of a worker."""

from pydantic import Field

from orchestrator.composition.settings import SharedSettings


class WorkerSettings(SharedSettings):
    """Read from the environment, once. What it shares with the orchestrator has the same name there.

    The leases are shorter than the orchestrator's: what a dead worker had goes on within 10 s.
    """

    worker_slots: int = Field(default=64, ge=1)
    """Steps that this worker may have at the same time."""
    limit_steps_in_flight: int = Field(default=50, ge=1)
    """Steps of one user that may run at the same time, in all workers together. The others wait."""
    step_lease_seconds: float = Field(default=6, gt=0)
    """How long a step whose worker went silent is left alone before another worker gets it."""
    step_heartbeat_seconds: float = Field(default=0.5, gt=0)
    """How often a worker makes sure that its steps are still its own; well below half the lease."""
    step_poll_seconds: float = Field(default=1, gt=0)
    """How often a worker looks for steps that nobody rang for."""
    step_crash_limit: int = Field(default=5, ge=1)
    """How many workers may die of a step before it fails."""
    wakeup_poll_seconds: float = Field(default=0.1, gt=0)
    """How often arq looks for a notification that did not come by pub/sub."""
    execution_lease_seconds: float = Field(default=6, gt=0)
    """How long an execution whose process went silent is left alone before it is settled as `outcome_unknown`."""
    sweep_seconds: float = Field(default=1, gt=0)
    """How often orphaned executions are looked for."""
