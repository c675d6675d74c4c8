"""Notifies watchers, the outbox relay and the metrics of committed changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.tracing.process import tracer
from orchestrator.adapters.workflows.run_traces import RunTraces
from orchestrator.workflows import metrics
from orchestrator.workflows.ports import RunNotifier
from orchestrator.workflows.progress.progress import Progress


@dataclass(frozen=True, slots=True)
class CommitNotifier:
    """Sends notifications after a commit. `outbox` wakes the relay of events."""

    notifier: RunNotifier
    outbox: Callable[[], None]
    traces: RunTraces | None = None
    """None while tracing is off."""

    def notify(self, changed: Sequence[Progress]) -> None:
        """Notifies of the committed changes of these runs."""
        if not changed:
            return
        self.notifier.changed([progress.run.run_id for progress in changed])
        if any(progress.events for progress in changed):
            self.outbox()
        for progress in changed:
            metrics.count(progress.changes)
        if self.traces is not None:
            self.traces.committed(changed)

    @classmethod
    def of_process(cls, notifier: RunNotifier, outbox: Callable[[], None]) -> "CommitNotifier":
        """A notifier that also traces runs, if tracing is on."""
        return cls(notifier, outbox, RunTraces(traces) if (traces := tracer()) is not None else None)
