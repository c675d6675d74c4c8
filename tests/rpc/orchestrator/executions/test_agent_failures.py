"""How the adapter reports agents that are missing, are not agents, or break off: against a real, scripted gRPC server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1 import agent_service_pb2_grpc

from catalogue.errors import AgentNotFound
from mesh.errors import CallCancelled, MeshError, RemoteError, UpstreamTimeout
from mesh.limits import admission
from mesh.limits.admission import Admission
from mesh.rpc import channel
from mesh.rpc.acceptance import ACCEPTED, WANTED
from mesh.rpc.channel import ChannelPool
from mesh.rpc.serving.server import Health
from mesh.rpc.status import status_of, trailing_details
from mesh.security import keys
from mesh.security.call_tokens import CALL_TOKEN_KEY, CallTokenVerifier
from mesh.security.errors import InvalidCredentials
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.agents import AgentAddresses, GrpcAgents
from orchestrator.executions.books import new_id
from orchestrator.executions.errors import AgentLost, AgentUnavailable
from orchestrator.executions.ports import AgentCall
from orchestrator.executions.stop import StopSignal
from orchestrator.registry.model import HealthState
from tests.rpc.orchestrator.misbehaving import Behaviour, ScriptedAgent, SilentRelay
from tests.support.call_tokens import PUBLIC_KEY, SIGNER
from tests.support.ports import any_free_port
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import AGENT_ID

GRACE_SECONDS = 0.2


@pytest.fixture
async def agents() -> AsyncIterator[GrpcAgents]:
    channels = ChannelPool(BackgroundTasks())
    yield GrpcAgents(channels, AgentAddresses("127.0.0.1", 1, 0), SIGNER, GRACE_SECONDS, BackgroundTasks())
    await channels.close()


@pytest.fixture
async def agent() -> AsyncIterator[ScriptedAgent]:
    """An agent on a free port."""
    servicer, server = ScriptedAgent(), grpc.aio.server()
    agent_service_pb2_grpc.add_AgentServiceServicer_to_server(servicer, server)
    servicer.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer
    await server.stop(0)


def call_to(port: int, seconds: float = 10) -> AgentCall:
    return AgentCall(AGENT_ID, port, 7, new_id(), "How do we rank?", None, seconds)


async def unary(agents: GrpcAgents, call: AgentCall, stop: StopSignal) -> None:
    await agents.execute(call, stop)


async def watched(agents: GrpcAgents, call: AgentCall, stop: StopSignal) -> None:
    """A call that the admission control samples (one in eight)."""
    admission.adopt(Admission().enter())
    await agents.execute(call, stop)


async def streamed(agents: GrpcAgents, call: AgentCall, stop: StopSignal) -> None:
    async for _ in agents.stream(call, stop):
        pass


KINDS = pytest.mark.parametrize("ask", [unary, watched, streamed])
Ask = Callable[[GrpcAgents, AgentCall, StopSignal], Coroutine[Any, Any, None]]


async def failure(agents: GrpcAgents, agent: ScriptedAgent, ask: Ask, behave: Behaviour, seconds: float = 10) -> MeshError:
    """The caller's error from an agent with this behaviour."""
    agent.behave = behave
    with pytest.raises(MeshError) as failed:
        await ask(agents, call_to(agent.port, seconds), StopSignal())
    return failed.value


def aborting(code: grpc.StatusCode, *, begun: bool) -> Behaviour:
    """A behaviour that ends with a plain gRPC status, before or after the call was accepted."""

    async def behave(context: Any) -> None:
        if begun:
            await context.send_initial_metadata(ACCEPTED)
        await context.abort(code, "none of our words")

    return behave


def refusing(error: MeshError) -> Behaviour:
    """A behaviour that refuses a call as an agent host does."""

    async def behave(context: Any) -> None:
        status = status_of(error, "req_1")
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message, trailing_metadata=(trailing_details(status),))

    return behave


@KINDS
async def test_an_agent_that_the_host_does_not_know_yet_is_unavailable_and_not_a_callers_error(
    agents: GrpcAgents, agent: ScriptedAgent, ask: Ask
) -> None:
    """Each process reads the definitions at its own time."""
    for unknown in (AgentNotFound.of(AGENT_ID), AgentNotFound("served elsewhere", agent_id=AGENT_ID, port="8299")):
        error = await failure(agents, agent, ask, refusing(unknown))
        assert isinstance(error, AgentUnavailable)
        assert "does not serve this agent at the moment; nothing was bought" in error.message


@KINDS
async def test_a_call_to_a_restarted_host_is_repeated_with_a_token_for_its_new_start(
    agents: GrpcAgents, agent: ScriptedAgent, ask: Ask
) -> None:
    """The first refusal names the start, which is kept for later calls until the host restarts again."""
    verifier = CallTokenVerifier(keys.read_public(PUBLIC_KEY))
    seen: list[bool] = []

    async def admit(context: Any) -> None:
        try:
            claims = verifier.read(dict(context.invocation_metadata())[CALL_TOKEN_KEY])
            seen.append(claims.host_start == verifier.host_start)
        except InvalidCredentials as refusal:
            seen.append(False)
            await refusing(refusal)(context)
        await context.abort(grpc.StatusCode.ABORTED, "seen enough")

    agent.behave = admit
    for _ in range(2):
        for _ in range(2):
            with pytest.raises(AgentLost):
                await ask(agents, call_to(agent.port), StopSignal())
        assert seen == [False, True, True]
        seen.clear()
        verifier = CallTokenVerifier(keys.read_public(PUBLIC_KEY))


@KINDS
async def test_a_host_that_names_a_new_start_each_time_is_unavailable(agents: GrpcAgents, agent: ScriptedAgent, ask: Ask) -> None:
    async def refuse(context: Any) -> None:
        await refusing(InvalidCredentials("another start", host_start=str(new_id())))(context)

    assert isinstance(await failure(agents, agent, ask, refuse), AgentUnavailable)


@KINDS
async def test_a_closed_port_means_that_nothing_was_bought(agents: GrpcAgents, ask: Ask) -> None:
    async with asyncio.timeout(1):
        with pytest.raises(AgentUnavailable):
            await ask(agents, call_to(any_free_port()), StopSignal())


@KINDS
async def test_a_server_that_does_not_speak_grpc_is_unavailable(agents: GrpcAgents, ask: Ask) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server, asyncio.timeout(5):
        with pytest.raises(AgentUnavailable):
            await ask(agents, call_to(server.sockets[0].getsockname()[1]), StopSignal())


@KINDS
async def test_a_host_that_accepts_connections_but_stays_silent_is_unavailable_within_two_seconds(agents: GrpcAgents, ask: Ask) -> None:
    """Like a stopped process, for which the kernel still accepts connections."""
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server, asyncio.timeout(2):
        with pytest.raises(AgentUnavailable):
            await ask(agents, call_to(server.sockets[0].getsockname()[1]), StopSignal())


@KINDS
async def test_a_grpc_server_without_agent_services_is_unavailable(agents: GrpcAgents, ask: Ask) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(AgentUnavailable):
        await ask(agents, call_to(port), StopSignal())
    await server.stop(0)


@pytest.mark.parametrize("ask", [watched, streamed])
async def test_a_connection_lost_before_the_call_was_accepted_bought_nothing(agents: GrpcAgents, agent: ScriptedAgent, ask: Ask) -> None:
    error = await failure(agents, agent, ask, aborting(grpc.StatusCode.UNAVAILABLE, begun=False))
    assert isinstance(error, AgentUnavailable)
    assert error.details == {"agent_id": AGENT_ID}


async def test_an_unsampled_call_that_ends_unavailable_counts_as_lost(agents: GrpcAgents, agent: ScriptedAgent) -> None:
    error = await failure(agents, agent, unary, aborting(grpc.StatusCode.UNAVAILABLE, begun=False))
    assert isinstance(error, AgentLost)
    error = await failure(agents, agent, unary, aborting(grpc.StatusCode.UNIMPLEMENTED, begun=False))
    assert isinstance(error, AgentUnavailable)


async def test_a_sampled_call_is_known_to_have_begun_before_the_answer(agents: GrpcAgents, agent: ScriptedAgent) -> None:
    answering = asyncio.Event()

    async def take_over(context: Any) -> None:
        assert WANTED in tuple(context.invocation_metadata())
        await context.send_initial_metadata(ACCEPTED)
        await answering.wait()

    agent.behave = take_over
    control = Admission()
    slot = control.enter()
    admission.adopt(slot)
    asking = asyncio.create_task(agents.execute(call_to(agent.port), StopSignal()))
    await eventually(lambda: slot.has_begun, within=5)
    assert not asking.done()
    answering.set()
    await asking


async def test_a_sampled_call_that_ends_without_an_answer_is_lost(agents: GrpcAgents) -> None:
    async def nothing(_: Any, __: Any) -> AsyncIterator[pb.ExecuteResponse]:
        for answer in list[pb.ExecuteResponse]():
            yield answer

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "agentmesh.agent.v1.AgentService", {"Execute": grpc.unary_stream_rpc_method_handler(nothing)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(AgentLost):
        await watched(agents, call_to(port), StopSignal())
    await server.stop(0)


@KINDS
@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL]
)
async def test_a_connection_lost_after_the_call_was_accepted_may_have_bought_something(
    agents: GrpcAgents, agent: ScriptedAgent, ask: Ask, code: grpc.StatusCode
) -> None:
    error = await failure(agents, agent, ask, aborting(code, begun=True))
    assert isinstance(error, AgentLost)
    assert "none of our words" not in error.message


@KINDS
async def test_an_answer_after_the_deadline_is_a_timeout(agents: GrpcAgents, agent: ScriptedAgent, ask: Ask) -> None:
    async def hang(_: Any) -> None:
        await asyncio.Event().wait()

    error = await failure(agents, agent, ask, hang, seconds=0.3)
    assert isinstance(error, UpstreamTimeout)
    assert error.details == {"agent_id": AGENT_ID, "deadline_seconds": "0.3"}
    async with asyncio.timeout(1):
        await agent.ended.wait()


@KINDS
async def test_an_error_of_the_mesh_is_passed_on(agents: GrpcAgents, agent: ScriptedAgent, ask: Ask) -> None:
    async def fail(context: Any) -> None:
        status = status_of(RemoteError("LLM_API_ERROR", "overloaded", retryable=True, retry_after_seconds=7), "req_1")
        await context.abort(grpc.StatusCode.INTERNAL, "overloaded", trailing_metadata=(trailing_details(status),))

    error = await failure(agents, agent, ask, fail)
    assert (error.reason, error.message, error.retryable, error.retry_after_seconds) == ("LLM_API_ERROR", "overloaded", True, 7)


DELTA, USAGE, DONE = (
    pb.StreamExecuteResponse(delta=pb.Delta(text="Wri")),
    pb.StreamExecuteResponse(usage={"model": "m", "input_tokens": 1}),  # type: ignore[arg-type]
    pb.StreamExecuteResponse(done=pb.Done(agent_name="A", execution_time=1.0)),
)


@pytest.mark.parametrize("frames", [[], [DELTA], [DELTA, USAGE], [DELTA, DONE]], ids=["nothing", "text", "no end", "no usage"])
async def test_a_stream_without_usage_or_end_is_lost(
    agents: GrpcAgents, agent: ScriptedAgent, frames: list[pb.StreamExecuteResponse]
) -> None:
    agent.frames = frames
    with pytest.raises(AgentLost):
        await streamed(agents, call_to(agent.port), StopSignal())


async def test_a_complete_stream_is_an_answer_despite_heartbeats_and_unknown_frames(agents: GrpcAgents, agent: ScriptedAgent) -> None:
    agent.frames = [DELTA, pb.StreamExecuteResponse(heartbeat=pb.Heartbeat()), DELTA, USAGE, DONE]
    pieces = [piece async for piece in agents.stream(call_to(agent.port), StopSignal())]
    assert pieces[:3] == ["Wri", None, "Wri"]
    assert (pieces[3].text, pieces[3].usage.input_tokens) == ("WriWri", 1)  # type: ignore[union-attr]


@KINDS
async def test_an_agent_that_does_not_end_a_cancelled_call_in_time_is_disconnected(
    agents: GrpcAgents, agent: ScriptedAgent, ask: Ask
) -> None:
    async def hang(context: Any) -> None:
        await context.send_initial_metadata(ACCEPTED)
        await asyncio.Event().wait()

    agent.behave = hang
    stop = StopSignal()
    asking = asyncio.create_task(ask(agents, call_to(agent.port), stop))
    await agent.called.wait()
    stop.set()
    async with asyncio.timeout(GRACE_SECONDS + 1):
        with pytest.raises(CallCancelled):
            await asking
        await agent.ended.wait()


@KINDS
async def test_a_silent_agent_is_lost_when_the_connection_is_found_dead(
    agent: ScriptedAgent, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped host or an unplugged cable closes no connection; only pings detect it. In production they are less frequent."""

    async def hang(context: Any) -> None:
        await context.send_initial_metadata(ACCEPTED)
        await asyncio.Event().wait()

    agent.behave = hang
    soon = {"grpc.keepalive_time_ms": 500, "grpc.keepalive_timeout_ms": 500, "grpc.http2.ping_timeout_ms": 500}
    monkeypatch.setattr(channel, "CHANNEL_OPTIONS", tuple((dict(channel.CHANNEL_OPTIONS) | soon).items()))
    relay = SilentRelay(agent.port)
    channels = ChannelPool(BackgroundTasks())
    agents = GrpcAgents(channels, AgentAddresses("127.0.0.1", 1, 0), SIGNER, GRACE_SECONDS, BackgroundTasks())
    async with relay.listening():
        asking = asyncio.create_task(ask(agents, call_to(relay.port), StopSignal()))
        await relay.answered.wait()
        relay.silent = True
        with pytest.raises(AgentLost):
            await asking
        await channels.close()


async def test_health_distinguishes_serving_not_serving_unknown_and_unreachable(agents: GrpcAgents) -> None:
    server = grpc.aio.server()
    health = Health(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await health.set("a", serving=True)
    await health.set("b", serving=False)
    states = [await agents.check(name, port) for name in ("a", "b", "c")]
    await server.stop(0)
    assert states == [HealthState.SERVING, HealthState.NOT_SERVING, HealthState.NOT_SERVING]
    assert await agents.check("a", any_free_port()) is HealthState.UNREACHABLE
