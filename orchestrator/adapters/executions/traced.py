"""Traces what a call does in the process that buys it: the intent, the call to the agent, the settlement. Used only while tracing is on."""

from collections.abc import AsyncIterator

from mesh.tracing import names
from mesh.tracing.spans import Kind, Span, Tracer
from orchestrator.executions.model import AgentAnswer, Intent, Settlement
from orchestrator.executions.ports import AgentCall, Agents, Recorder
from orchestrator.executions.stop import StopSignal
from orchestrator.idempotency.model import OriginalRequest

_EXECUTE, _STREAM = "agentmesh.agent.v1.AgentService/Execute", "agentmesh.agent.v1.AgentService/StreamExecute"


class TracedAgents:
    """Agents whose calls are spans. See the port."""

    def __init__(self, agents: Agents, tracer: Tracer) -> None:
        self._agents = agents
        self._tracer = tracer

    async def execute(self, call: AgentCall, stop: StopSignal) -> AgentAnswer:
        """Returns the complete answer."""
        with self._span(call, _EXECUTE) as span:
            answer = await self._agents.execute(call, stop)
            _describe(span, answer)
            return answer

    async def stream(self, call: AgentCall, stop: StopSignal) -> AsyncIterator[str | AgentAnswer | None]:
        """Yields the answer's text in pieces, then the complete answer. The span ends before that: few callers read any further."""
        answer = None
        with self._span(call, _STREAM) as span:
            async for piece in self._agents.stream(call, stop):
                if isinstance(piece, AgentAnswer):
                    answer = piece
                    _describe(span, answer)
                else:
                    yield piece
        if answer is not None:
            yield answer

    def _span(self, call: AgentCall, method: str) -> Span:
        span = self._tracer.start(f"{names.INVOKE_AGENT} {call.agent_id}", Kind.CLIENT)
        span.set(names.OPERATION, names.INVOKE_AGENT)
        span.set(names.AGENT_ID, call.agent_id)
        span.set(names.EXECUTION_ID, str(call.execution_id))
        span.set(names.RPC_SYSTEM, "grpc")
        span.set(names.RPC_METHOD, method)
        span.set(names.SERVER_PORT, call.port)
        return span


class TracedRecorder:
    """A recorder whose commits are spans. See the port."""

    def __init__(self, recorder: Recorder, tracer: Tracer) -> None:
        self._recorder = recorder
        self._tracer = tracer
        self.settle_again = recorder.settle_again
        self.step_committed = recorder.step_committed

    async def record(self, intent: Intent) -> OriginalRequest | None:
        """Records an intent."""
        with self._span("record intent", intent):
            return await self._recorder.record(intent)

    async def settle(self, settlement: Settlement) -> bool:
        """Settles an execution."""
        with self._span("settle", settlement.intent) as span:
            if settlement.bill is not None:
                span.set(names.COST, settlement.bill.cost_micro_usd)
                span.set(names.USAGE_ESTIMATED, settlement.bill.usage.estimated)
            return await self._recorder.settle(settlement)

    def _span(self, name: str, intent: Intent) -> Span:
        span = self._tracer.start(name)
        span.set(names.EXECUTION_ID, str(intent.execution_id))
        return span


def _describe(span: Span, answer: AgentAnswer) -> None:
    if answer.facts is not None:
        span.set(names.AGENT_REVISION, answer.facts.agent_revision)
        span.set(names.RESPONSE_MODEL, answer.facts.model)
