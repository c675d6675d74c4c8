"""Traces the attempts of steps, in the traces of their runs. Used only while tracing is on."""

from mesh import correlation
from mesh.tracing import names, spans
from mesh.tracing.spans import Kind, Tracer
from orchestrator.adapters.workflows.run_traces import root_of
from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import AgentMissing, Assignment, AttemptFailed, HandedBack, Outcome
from orchestrator.workflows.engine.dispatcher import Performer


class TracedPerformer:
    """A performer whose attempts are spans. See the port."""

    def __init__(self, performer: Performer, tracer: Tracer) -> None:
        self._performer = performer
        self._tracer = tracer
        self.settle_again = performer.settle_again
        self.reported = performer.reported

    async def perform(self, assignment: Assignment, stop: StopSignal) -> Outcome:
        """Returns the outcome of the attempt."""
        correlation.adopt(assignment.request_id)
        lease_id = assignment.lease_id
        with self._tracer.start_below(root_of(lease_id.run_id, self._tracer.sampling), "step", Kind.CONSUMER) as span:
            spans.enter(span)
            span.set(names.RUN_ID, str(lease_id.run_id))
            span.set(names.TASK_ID, lease_id.task_id)
            span.set(names.EPOCH, lease_id.epoch)
            span.set(names.ATTEMPT, assignment.attempt)
            span.set(names.AGENT_ID, assignment.agent_id)
            outcome = await self._performer.perform(assignment, stop)
            if isinstance(outcome, AttemptFailed | AgentMissing):
                span.fail(outcome.failure.reason, fault=spans.is_fault(outcome.failure.reason))
            elif isinstance(outcome, HandedBack):
                span.fail(spans.CANCELLED, fault=False)
            return outcome
