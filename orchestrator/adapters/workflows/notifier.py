"""The notifier of runs: one topic of the Redis notifier for each run."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from orchestrator.adapters.wakeups.redis_notifier import RedisNotifier, Subscription


class RedisRunNotifier:
    """Sends and receives the notifications of runs; see the ports."""

    def __init__(self, notifier: RedisNotifier) -> None:
        self._notifier = notifier

    def changed(self, run_ids: Sequence[UUID]) -> None:
        """Wakes the subscribers of these runs in every process."""
        for run_id in run_ids:
            self._notifier.notify(_topic(run_id))

    def subscribe(self, run_id: UUID) -> AbstractContextManager[Subscription]:
        return self._notifier.subscribe(_topic(run_id))


def _topic(run_id: UUID) -> str:
    return f"run:{run_id}"
