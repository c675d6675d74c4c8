"""The trace of a run. Its id is the run's id, so that every process finds it after any restart, without asking the database."""

from collections.abc import Iterable
from uuid import UUID

from mesh.tracing import names
from mesh.tracing.context import Sampling, TraceContext
from mesh.tracing.spans import CANCELLED, Kind, Span, Tracer, current, is_fault
from orchestrator.workflows.model import Run, RunState
from orchestrator.workflows.progress.progress import Progress


def root_of(run_id: UUID, sampling: Sampling) -> TraceContext:
    """The first span of a run's trace: its id is the second half of the run's id. All processes with one sampler agree on both."""
    return TraceContext(run_id.int, run_id.int & (1 << 64) - 1, sampling.decides(run_id.int))


class RunTraces:
    """Records the beginnings and ends of runs."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def started(self, run: Run) -> None:
        """Links the request that started a run and the run's trace, in both directions."""
        root, request = root_of(run.run_id, self._tracer.sampling), current()
        span = self._tracer.start_below(root, "start run", Kind.PRODUCER)
        _describe(span, run)
        if request is not None:
            request.links.append(root)
            span.links.append(request.context)
        span.end()

    def committed(self, changed: Iterable[Progress]) -> None:
        """Records the runs among these that have ended with this commit."""
        for progress in changed:
            if any(isinstance(change.subject, Run) and change.subject.state.final for change in progress.changes):
                self._ended(progress.run)

    def _ended(self, run: Run) -> None:
        assert run.finished_at is not None  # it is final
        span = Span(self._tracer, "run", Kind.INTERNAL, root_of(run.run_id, self._tracer.sampling), 0)
        _describe(span, run)
        span.set(names.RUN_STATE, run.state.value)
        if run.state is RunState.CANCELLED:
            span.fail(CANCELLED, fault=False)
        elif run.failure is not None:
            span.fail(run.failure.reason, fault=is_fault(run.failure.reason))
        span.started_ns = _nanoseconds(run.created_at.timestamp())
        span.end(_nanoseconds(run.finished_at.timestamp()))


def _describe(span: Span, run: Run) -> None:
    span.request_id = run.request_id
    span.set(names.RUN_ID, str(run.run_id))
    if run.workflow_id is not None:
        span.set(names.WORKFLOW_ID, str(run.workflow_id))
    if run.agent_id:
        span.set(names.AGENT_ID, run.agent_id)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e6) * 1000
