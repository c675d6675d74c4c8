"""The settings of a worker."""

from pydantic import Field

from orchestrator.composition.settings import SharedSettings


class WorkerSettings(SharedSettings):
    """The settings of a worker, read once from the environment. Settings shared with the orchestrator have the same names there.

    The leases are shorter than the orchestrator's, so that the work of a dead worker continues within 10 s.
    """

    worker_slots: int = Field(default=64, ge=1)
    """Steps that this worker may run at the same time."""
    limit_steps_in_flight: int = Field(default=50, ge=1)
    """Steps of one user that may run at the same time, across all workers. The others wait."""
    step_lease_seconds: float = Field(default=6, gt=0)
    """How long after the last lease renewal of its worker a step is given to another worker."""
    step_heartbeat_seconds: float = Field(default=0.5, gt=0)
    """The interval at which a worker renews the leases of its steps. Must be well below half the lease."""
    step_poll_seconds: float = Field(default=1, gt=0)
    """The interval at which a worker polls for steps for which it got no wakeup."""
    step_crash_limit: int = Field(default=5, ge=1)
    """How many times a worker may die while it runs a step before the step fails; twice as many once the answer is recorded."""
    live_text_bytes: int = Field(default=262_144, ge=0)
    """How much of the text of a running background execution is kept in Redis for its watchers."""
    wakeup_poll_seconds: float = Field(default=0.1, gt=0)
    """The interval at which arq polls for notifications that pub/sub did not deliver."""
    execution_lease_seconds: float = Field(default=6, gt=0)
    """How long after the last lease renewal of its process an execution is settled as `outcome_unknown`."""
    sweep_seconds: float = Field(default=1, gt=0)
    """The interval between searches for orphaned executions."""
