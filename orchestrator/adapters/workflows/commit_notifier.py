"""Who is told of committed changes: watchers, the relay of events, and Prometheus."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.workflows import metrics
from orchestrator.workflows.ports import RunNotifier
from orchestrator.workflows.progress import Progress


@dataclass(frozen=True, slots=True)
class CommitNotifier:
    """Tells after a commit. `outbox` says that there are events."""

    notifier: RunNotifier
    outbox: Callable[[], None]

    def tell(self, changed: Sequence[Progress]) -> None:
        """What has been committed of these runs."""
        if not changed:
            return
        self.notifier.changed([progress.run.run_id for progress in changed])
        if any(progress.events for progress in changed):
            self.outbox()
        for progress in changed:
            metrics.count(progress.changes)
