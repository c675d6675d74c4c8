"""Calls agents over gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from catalogue.errors import AgentNotFound
from catalogue.model import FIRST_PORT
from mesh import correlation
from mesh.errors import CallCancelled, MeshError, UpstreamTimeout
from mesh.limits import admission
from mesh.rpc.acceptance import WANTED
from mesh.rpc.channel import ChannelPool
from mesh.rpc.convert import struct, usage_from_proto, values
from mesh.rpc.status import error_of
from mesh.security.call_tokens import CALL_TOKEN_KEY, HOST_START, CallTokenSigner
from mesh.security.errors import InvalidCredentials, TokenExpired
from mesh.tasks import BackgroundTasks
from mesh.tracing import spans
from mesh.tracing.context import TRACEPARENT
from orchestrator.executions.convert import answer_facts
from orchestrator.executions.errors import AgentLost, AgentUnavailable
from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import AgentAnswer
from orchestrator.executions.ports import AgentCall
from orchestrator.executions.stop import StopSignal
from orchestrator.registry.model import HealthState

if TYPE_CHECKING:
    from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

log = structlog.get_logger()

HEALTH_SECONDS = 1.0
_EXECUTE = "/agentmesh.agent.v1.AgentService/Execute"
_NO_AGENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED)
"""No agent is served on the port: nothing listens there, or a program that is not an agent host."""
_NEVER_SENT = ("failed to connect", "DNS resolution failed")
"""The messages of gRPC for a call that was never sent because there was no connection. With any other message, including a future
wording of these, the agent may have accepted the call: that is the safe assumption."""
_NOT_THE_CALLERS_FAULT = (InvalidCredentials.reason, TokenExpired.reason, AgentNotFound.reason)
"""Refusals that the platform causes, not the caller: the host does not accept the platform's call tokens, or has not yet read the
definition of an agent that this process knows."""


@dataclass(frozen=True, slots=True)
class AgentAddresses:
    """The addresses of the agent hosts. `template` may contain `{shard}`, the shard of the port."""

    template: str
    shards: int
    offset: int

    def shard(self, port: int) -> int:
        """The number of the host that serves this port."""
        return (port - self.offset - FIRST_PORT) % self.shards

    def target(self, port: int) -> str:
        """`host:port`."""
        return f"{self.template.format(shard=self.shard(port))}:{port}"


class GrpcAgents:
    """Calls agents over gRPC, each on its own port."""

    def __init__(
        self, channels: ChannelPool, addresses: AgentAddresses, signer: CallTokenSigner, cancel_grace_seconds: float, tasks: BackgroundTasks
    ) -> None:
        self._tasks = tasks
        self._channels = channels
        self._addresses = addresses
        self._signer = signer
        self._grace = cancel_grace_seconds
        self._stubs: dict[int, _Stub] = {}
        self._host_starts: dict[int, str] = {}
        """By shard: the id of the host's start, which the next call token names. See CallTokenVerifier."""
        self._generation = channels.generation

    async def execute(self, call: AgentCall, stop: StopSignal) -> AgentAnswer:
        """Returns the complete answer; see Agents."""
        try:
            return await self._execute(call, stop)
        except _HostRestarted:
            with suppress(_HostRestarted):
                return await self._execute(call, stop)
        raise _restarted_twice(call)

    async def stream(self, call: AgentCall, stop: StopSignal) -> AsyncIterator[str | AgentAnswer | None]:
        """Yields the answer's pieces, then the complete answer; see Agents."""
        for _ in range(2):
            with suppress(_HostRestarted):  # raised before the first piece
                async with aclosing(self._stream(call, stop)) as pieces:
                    async for piece in pieces:
                        yield piece
                    return
        raise _restarted_twice(call)

    async def _execute(self, call: AgentCall, stop: StopSignal) -> AgentAnswer:
        stub, request, metadata = self._stub(call.port), _request(pb.ExecuteRequest, call), self._metadata(call)
        watched = admission.pass_on()
        execute: Any = stub.watched_execute if watched else stub.calls.Execute
        rpc = execute(request, timeout=call.seconds, metadata=(*metadata, WANTED) if watched else metadata)
        with stop.calling(self._canceller(rpc, call)):
            try:
                answer: pb.ExecuteResponse = await (_watched(rpc, call) if watched else rpc)
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
                self._learn_start(failure, call)
                raise await _translated(failure, rpc, call, stop, says_when_begun=watched) from failure
        return AgentAnswer(
            answer.result, answer.execution_time, values(answer.metadata, "metadata"), usage_from_proto(answer.usage), _facts(answer)
        )

    async def _stream(self, call: AgentCall, stop: StopSignal) -> AsyncGenerator[str | AgentAnswer | None, None]:
        stub, request = self._stub(call.port), _request(pb.StreamExecuteRequest, call)
        rpc = stub.calls.StreamExecute(request, timeout=call.seconds, metadata=self._metadata(call))
        reading = _Reading()
        with stop.calling(self._canceller(rpc, call)):
            try:
                if await rpc.initial_metadata():  # none if the agent refused the call
                    admission.begun()
                async for frame in rpc:
                    if reading.take(frame):
                        yield frame.delta.text if frame.WhichOneof("event") == "delta" else None
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
                self._learn_start(failure, call)
                raise await _translated(failure, rpc, call, stop, says_when_begun=True) from failure
        yield reading.answer(call)

    async def check(self, agent_id: str, port: int) -> HealthState:
        """The health that the host reports for the agent, or for itself if `agent_id` is empty. Waits at most a second."""
        stub = HealthStub(self._channels.get(self._addresses.target(port)))
        try:
            answer = await stub.Check(HealthCheckRequest(service=agent_id), timeout=HEALTH_SECONDS)
        except grpc.aio.AioRpcError as error:
            return HealthState.NOT_SERVING if error.code() is grpc.StatusCode.NOT_FOUND else HealthState.UNREACHABLE
        return HealthState.SERVING if answer.status == HealthCheckResponse.SERVING else HealthState.NOT_SERVING

    def _stub(self, port: int) -> "_Stub":
        if self._generation != self._channels.generation:
            self._generation = self._channels.generation
            self._stubs.clear()
        stub = self._stubs.get(port)
        if stub is None:
            stub = self._stubs[port] = _Stub.over(self._channels.get(self._addresses.target(port)))
        return stub

    def _metadata(self, call: AgentCall) -> tuple[tuple[str, str], ...]:
        start = self._host_starts.get(self._addresses.shard(call.port), "")
        token = self._signer.mint(agent_id=call.agent_id, user_id=call.user_id, execution_id=str(call.execution_id), host_start=start)
        metadata = (correlation.REQUEST_ID_KEY, correlation.current()), (CALL_TOKEN_KEY, token)
        span = spans.current()
        return metadata if span is None else (*metadata, (TRACEPARENT, span.context.header))

    def _learn_start(self, failure: BaseException, call: AgentCall) -> None:
        """Raises _HostRestarted if the host refused the call token because the token names another start of the host."""
        refusal = error_of(failure) if isinstance(failure, grpc.aio.AioRpcError) else None
        if refusal is not None and HOST_START in refusal.details:
            self._host_starts[self._addresses.shard(call.port)] = refusal.details[HOST_START]
            raise _HostRestarted from failure

    def _canceller(self, rpc: Any, call: AgentCall) -> Callable[[], None]:
        def cancel() -> None:
            self._tasks.start_once("cancelled call", self._cancel(rpc, call), vital=False)

        return cancel

    async def _cancel(self, rpc: Any, call: AgentCall) -> None:
        """Asks the agent to end the call and report its usage. Cuts the call off if it is still open after the grace period."""
        ended = asyncio.Event()
        rpc.add_done_callback(lambda _: ended.set())
        try:
            async with asyncio.timeout(self._grace):
                request = pb.CancelRequest(execution_id=str(call.execution_id))
                await self._stub(call.port).calls.Cancel(request, metadata=self._metadata(call))
                await ended.wait()
        except (grpc.aio.AioRpcError, TimeoutError):
            rpc.cancel()  # a host that does not respond in time cannot report the usage


class _HostRestarted(Exception):
    """The host was restarted after the last call and refused this call's token. It bought nothing; try again with a new token."""


@dataclass(frozen=True, slots=True)
class _Stub:
    calls: "AgentServiceAsyncStub"
    watched_execute: "grpc.aio.UnaryStreamMultiCallable[Any, pb.ExecuteResponse]"
    """Execute, called as if its response were a stream, so that the initial metadata can be read before the answer."""

    @classmethod
    def over(cls, channel: grpc.aio.Channel) -> "_Stub":
        watched = channel.unary_stream(
            _EXECUTE, request_serializer=pb.ExecuteRequest.SerializeToString, response_deserializer=pb.ExecuteResponse.FromString
        )
        return cls(AgentServiceStub(channel), watched)


class _Reading:
    """Collects the frames of one answer."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._usage: Any = None
        self._done: pb.Done | None = None

    def take(self, frame: pb.StreamExecuteResponse) -> bool:
        """Adds a frame; returns whether the caller gets it too."""
        event = frame.WhichOneof("event")
        if event == "delta":
            self._text.append(frame.delta.text)
        elif event == "usage":
            self._usage = usage_from_proto(frame.usage)
        elif event == "done":
            self._done = frame.done
        return event in ("delta", "heartbeat")

    def answer(self, call: AgentCall) -> AgentAnswer:
        """The complete answer. Raises AgentLost if the stream ended before it was complete."""
        if self._done is None or self._usage is None:
            raise AgentLost("the agent's stream ended before its answer was complete", agent_id=call.agent_id)
        return AgentAnswer(
            "".join(self._text), self._done.execution_time, values(self._done.metadata, "metadata"), self._usage, _facts(self._done)
        )


def _facts(answer: pb.ExecuteResponse | pb.Done) -> AnswerFacts | None:
    """The facts of an answer; None from a host of an earlier release."""
    return answer_facts(answer.facts) if answer.HasField("facts") else None


def _request(kind: Any, call: AgentCall) -> Any:
    context = None if call.context is None else struct(call.context)
    return kind(agent_id=call.agent_id, input=call.input, context=context, execution_id=str(call.execution_id))


async def _watched(rpc: Any, call: AgentCall) -> pb.ExecuteResponse:
    """The answer; reports first that the agent has accepted the call."""
    if await rpc.initial_metadata():  # none if the agent refused the call
        admission.begun()
    answers: list[pb.ExecuteResponse] = [answer async for answer in rpc]  # read to the end, because the status comes last
    if not answers:
        raise AgentLost("the agent ended the call without an answer", agent_id=call.agent_id)
    return answers[0]


async def _translated(failure: BaseException, rpc: Any, call: AgentCall, stop: StopSignal, *, says_when_begun: bool) -> MeshError:
    """The error of a call that did not succeed. A status without our details comes from gRPC itself: the connection was lost."""
    if isinstance(failure, asyncio.CancelledError):
        if not stop.is_set:
            raise failure
        return CallCancelled("the caller cancelled the call", agent_id=call.agent_id)
    assert isinstance(failure, grpc.aio.AioRpcError)
    if (answered := error_of(failure)) is not None:
        return _refused_by_host(answered, call) if answered.reason in _NOT_THE_CALLERS_FAULT else answered
    if stop.is_set:
        return CallCancelled("the caller cancelled the call", agent_id=call.agent_id)
    if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"the agent did not answer within {call.seconds:.1f} s"
        return UpstreamTimeout(message, agent_id=call.agent_id, deadline_seconds=f"{call.seconds:.1f}")
    if failure.code() in _NO_AGENT and not (await _had_begun(rpc) if says_when_begun else _may_have_begun(failure)):
        return AgentUnavailable("the agent cannot be reached; nothing was bought, so try again", agent_id=call.agent_id)
    message = "the connection to the agent was lost during the call; the call is recorded at its worst-case cost"
    return AgentLost(message, agent_id=call.agent_id, execution_id=str(call.execution_id))


def _refused_by_host(refusal: MeshError, call: AgentCall) -> AgentUnavailable:
    if refusal.reason == AgentNotFound.reason:
        log.warning("agent_unknown_to_host", agent_id=call.agent_id, port=call.port, why=refusal.message)
        message = (
            f"the agent host on port {call.port} does not serve this agent at the moment; nothing was bought, so try again in a few seconds"
        )
        return AgentUnavailable(message, agent_id=call.agent_id)
    log.error("agent_refused_call_token", agent_id=call.agent_id, port=call.port, why=refusal.message)
    return AgentUnavailable("the agent host refused the platform's call token; nothing was bought, so try again", agent_id=call.agent_id)


def _restarted_twice(call: AgentCall) -> AgentUnavailable:
    message = "the agent host was restarted twice during the call; nothing was bought, so try again"
    return AgentUnavailable(message, agent_id=call.agent_id)


def _may_have_begun(failure: grpc.aio.AioRpcError) -> bool:
    """Whether the agent may have accepted the call, when it sends no metadata to confirm that."""
    return failure.code() is grpc.StatusCode.UNAVAILABLE and not (failure.details() or "").startswith(_NEVER_SENT)


async def _had_begun(rpc: Any) -> bool:
    """Whether the agent had accepted the call: it sends its initial metadata before it buys anything."""
    try:
        return bool(await rpc.initial_metadata())
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        return False
