"""The bell of runs: a topic of the doorbell between processes for each run."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from orchestrator.adapters.wakeups.redis_notifier import Ear, RedisBell


class RedisRunBell:
    """Rings for runs, and hears them; see the ports."""

    def __init__(self, bell: RedisBell) -> None:
        self._bell = bell

    def changed(self, run_ids: Sequence[UUID]) -> None:
        """Wakes whoever listens to these runs, in every process."""
        for run_id in run_ids:
            self._bell.ring(_topic(run_id))

    def listen(self, run_id: UUID) -> AbstractContextManager[Ear]:
        """An ear for a run."""
        return self._bell.listen(_topic(run_id))


def _topic(run_id: UUID) -> str:
    return f"run:{run_id}"
