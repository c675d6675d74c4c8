"""Calls agents over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from catalogue.model import FIRST_PORT
from mesh import admission, correlation
from mesh.errors import CallCancelled, MeshError, UpstreamTimeout
from mesh.rpc.acceptance import WANTED
from mesh.rpc.channel import ChannelPool
from mesh.rpc.convert import struct, usage_from_proto, values
from mesh.rpc.status import error_of
from mesh.security.call_tokens import CALL_TOKEN_KEY, CallTokenSigner
from mesh.security.errors import InvalidCredentials, TokenExpired
from orchestrator.executions.errors import AgentLost, AgentUnavailable
from orchestrator.executions.model import AgentAnswer
from orchestrator.executions.ports import AgentCall
from orchestrator.executions.stop import StopSignal
from orchestrator.registry.model import HealthState

if TYPE_CHECKING:
    from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

log = structlog.get_logger()

HEALTH_SECONDS = 1.0
_EXECUTE = "/agentmesh.agent.v1.AgentService/Execute"
_NOBODY_THERE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED)
"""No agent answers on the port: nobody listens, or a program that is no agent host."""
_NEVER_SENT = ("failed to connect", "DNS resolution failed")
"""What gRPC says of a call that it had no connection for. Whatever else it says, or should it say it otherwise one day, a call may
have been taken over by an agent: that is the safe side."""
_NOT_LET_IN = (InvalidCredentials.reason, TokenExpired.reason)
"""An agent's own word that it takes no calls from us: its user has nothing to do with that."""


@dataclass(frozen=True, slots=True)
class AgentAddresses:
    """Where the host of a port is: `template` may hold `{shard}`, the port's shard."""

    template: str
    shards: int
    offset: int

    def target(self, port: int) -> str:
        """`host:port`."""
        shard = (port - self.offset - FIRST_PORT) % self.shards
        return f"{self.template.format(shard=shard)}:{port}"


class GrpcAgents:
    """The agents, each on its own port."""

    def __init__(self, channels: ChannelPool, addresses: AgentAddresses, signer: CallTokenSigner, cancel_grace_seconds: float) -> None:
        self._channels = channels
        self._addresses = addresses
        self._signer = signer
        self._grace = cancel_grace_seconds
        self._stubs: dict[int, _Stub] = {}
        self._generation = channels.generation
        self._cancelling: set[asyncio.Task[None]] = set()

    async def execute(self, call: AgentCall, stop: StopSignal) -> AgentAnswer:
        """The whole answer; see the port."""
        stub, request, metadata = self._stub(call.port), _request(pb.ExecuteRequest, call), self._metadata(call)
        watched = admission.pass_on()
        execute: Any = stub.watched_execute if watched else stub.calls.Execute
        rpc = execute(request, timeout=call.seconds, metadata=(*metadata, WANTED) if watched else metadata)
        with stop.calling(self._canceller(rpc, call)):
            try:
                answer: pb.ExecuteResponse = await (_watched(rpc, call) if watched else rpc)
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
                raise await _translated(failure, rpc, call, stop, says_when_begun=watched) from failure
        return AgentAnswer(answer.result, answer.execution_time, values(answer.metadata, "metadata"), usage_from_proto(answer.usage))

    async def stream(self, call: AgentCall, stop: StopSignal) -> AsyncIterator[str | AgentAnswer | None]:
        """The answer's pieces, then the whole; see the port."""
        stub, request = self._stub(call.port), _request(pb.StreamExecuteRequest, call)
        rpc = stub.calls.StreamExecute(request, timeout=call.seconds, metadata=self._metadata(call))
        reading = _Reading()
        with stop.calling(self._canceller(rpc, call)):
            try:
                await rpc.initial_metadata()
                admission.begun()
                async for frame in rpc:
                    if reading.take(frame):
                        yield frame.delta.text if frame.WhichOneof("event") == "delta" else None
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
                raise await _translated(failure, rpc, call, stop, says_when_begun=True) from failure
        yield reading.answer(call)

    async def check(self, agent_id: str, port: int) -> HealthState:
        """The agent's own word within a second; `agent_id` may be empty for its host's."""
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
        token = self._signer.mint(agent_id=call.agent_id, user_id=call.user_id, execution_id=str(call.execution_id))
        return (correlation.REQUEST_ID_KEY, correlation.current()), (CALL_TOKEN_KEY, token)

    def _canceller(self, rpc: Any, call: AgentCall) -> Callable[[], None]:
        def cancel() -> None:
            task = asyncio.create_task(self._cancel(rpc, call))
            self._cancelling.add(task)
            task.add_done_callback(self._cancelling.discard)

        return cancel

    async def _cancel(self, rpc: Any, call: AgentCall) -> None:
        """Asks the agent to end the call and say what it used; whatever is still open after the grace is cut."""
        ended = asyncio.Event()
        rpc.add_done_callback(lambda _: ended.set())
        try:
            async with asyncio.timeout(self._grace):
                request = pb.CancelRequest(execution_id=str(call.execution_id))
                await self._stub(call.port).calls.Cancel(request, metadata=self._metadata(call))
                await ended.wait()
        except (grpc.aio.AioRpcError, TimeoutError):
            rpc.cancel()  # a host that does not answer in time has no usage to tell


@dataclass(frozen=True, slots=True)
class _Stub:
    """The rpcs of one port."""

    calls: "AgentServiceAsyncStub"
    watched_execute: "grpc.aio.UnaryStreamMultiCallable[Any, pb.ExecuteResponse]"
    """Execute as a call that is answered by a stream: its initial metadata can be seen before the answer."""

    @classmethod
    def over(cls, channel: grpc.aio.Channel) -> "_Stub":
        watched = channel.unary_stream(
            _EXECUTE, request_serializer=pb.ExecuteRequest.SerializeToString, response_deserializer=pb.ExecuteResponse.FromString
        )
        return cls(AgentServiceStub(channel), watched)


class _Reading:
    """Gathers the frames of one answer."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._usage: Any = None
        self._done: pb.Done | None = None

    def take(self, frame: pb.StreamExecuteResponse) -> bool:
        """Takes a frame; True for one that the caller sees too."""
        event = frame.WhichOneof("event")
        if event == "delta":
            self._text.append(frame.delta.text)
        elif event == "usage":
            self._usage = usage_from_proto(frame.usage)
        elif event == "done":
            self._done = frame.done
        return event in ("delta", "heartbeat")

    def answer(self, call: AgentCall) -> AgentAnswer:
        """The whole. Raises AgentLost when the stream ended without it."""
        if self._done is None or self._usage is None:
            raise AgentLost("the agent's stream ended in the middle of its answer", agent_id=call.agent_id)
        return AgentAnswer("".join(self._text), self._done.execution_time, values(self._done.metadata, "metadata"), self._usage)


def _request(kind: Any, call: AgentCall) -> Any:
    context = None if call.context is None else struct(call.context)
    return kind(agent_id=call.agent_id, input=call.input, context=context, execution_id=str(call.execution_id))


async def _watched(rpc: Any, call: AgentCall) -> pb.ExecuteResponse:
    """The answer, after it has been told that the agent has taken the call over."""
    await rpc.initial_metadata()
    admission.begun()
    answers: list[pb.ExecuteResponse] = [answer async for answer in rpc]  # to the end, where the status is
    if not answers:
        raise AgentLost("the agent ended the call without an answer", agent_id=call.agent_id)
    return answers[0]


async def _translated(failure: BaseException, rpc: Any, call: AgentCall, stop: StopSignal, *, says_when_begun: bool) -> MeshError:
    """What became of a call that did not succeed. A status without our details comes from gRPC itself: the connection was lost."""
    if isinstance(failure, asyncio.CancelledError):
        if not stop.is_set:
            raise failure
        return CallCancelled("the caller went away", agent_id=call.agent_id)
    assert isinstance(failure, grpc.aio.AioRpcError)
    if (answered := error_of(failure)) is not None:
        return _not_let_in(answered, call) if answered.reason in _NOT_LET_IN else answered
    if stop.is_set:
        return CallCancelled("the caller went away", agent_id=call.agent_id)
    if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"the agent did not answer within {call.seconds:.1f} s"
        return UpstreamTimeout(message, agent_id=call.agent_id, deadline_seconds=f"{call.seconds:.1f}")
    if failure.code() in _NOBODY_THERE and not (await _had_begun(rpc) if says_when_begun else _may_have_begun(failure)):
        return AgentUnavailable("the agent cannot be reached; nothing was bought, try again", agent_id=call.agent_id)
    message = "the agent was lost in the middle of the call; what it bought stands at its worst case in the books"
    return AgentLost(message, agent_id=call.agent_id, execution_id=str(call.execution_id))


def _not_let_in(refusal: MeshError, call: AgentCall) -> AgentUnavailable:
    log.error("agent_refused_call_token", agent_id=call.agent_id, port=call.port, why=refusal.message)
    return AgentUnavailable("the agent did not let the platform's call in; nothing was bought, try again", agent_id=call.agent_id)


def _may_have_begun(failure: grpc.aio.AioRpcError) -> bool:
    """Whether an agent may have had the call, which would not have said so."""
    return failure.code() is grpc.StatusCode.UNAVAILABLE and not (failure.details() or "").startswith(_NEVER_SENT)


async def _had_begun(rpc: Any) -> bool:
    """Whether the agent had accepted the call: it sends its initial metadata before it buys anything."""
    try:
        return bool(await rpc.initial_metadata())
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        return False
