"""What the adapter makes of agents that are not there, not agents, or break off: a real gRPC server that does as the test says."""

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
from orchestrator.adapters.executions.agents import AgentAddresses, GrpcAgents
from orchestrator.executions.books import new_id
from orchestrator.executions.errors import AgentLost, AgentUnavailable
from orchestrator.executions.ports import AgentCall
from orchestrator.executions.stop import StopSignal
from orchestrator.registry.model import HealthState
from tests.rpc.orchestrator.misbehaving import Behaviour, Misbehaving, SilentRelay
from tests.support.call_tokens import PUBLIC_KEY, SIGNER
from tests.support.ports import any_free_port
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import AGENT_ID

GRACE_SECONDS = 0.2


@pytest.fixture
async def agents() -> AsyncIterator[GrpcAgents]:
    channels = ChannelPool()
    yield GrpcAgents(channels, AgentAddresses("127.0.0.1", 1, 0), SIGNER, GRACE_SECONDS)
    await channels.close()


@pytest.fixture
async def agent() -> AsyncIterator[Misbehaving]:
    """An agent on a free port."""
    servicer, server = Misbehaving(), grpc.aio.server()
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
    """As one call in eight that the admission control counts."""
    admission.adopt(Admission().enter())
    await agents.execute(call, stop)


async def streamed(agents: GrpcAgents, call: AgentCall, stop: StopSignal) -> None:
    async for _ in agents.stream(call, stop):
        pass


KINDS = pytest.mark.parametrize("ask", [unary, watched, streamed])
Ask = Callable[[GrpcAgents, AgentCall, StopSignal], Coroutine[Any, Any, None]]


async def failure(agents: GrpcAgents, agent: Misbehaving, ask: Ask, behave: Behaviour, seconds: float = 10) -> MeshError:
    """What the caller hears of an agent that behaves like this."""
    agent.behave = behave
    with pytest.raises(MeshError) as failed:
        await ask(agents, call_to(agent.port, seconds), StopSignal())
    return failed.value


def aborting(code: grpc.StatusCode, *, begun: bool) -> Behaviour:
    """Ends with a status of gRPC's own, before or after the call has been accepted."""

    async def behave(context: Any) -> None:
        if begun:
            await context.send_initial_metadata(ACCEPTED)
        await context.abort(code, "none of our words")

    return behave


def refusing(error: MeshError) -> Behaviour:
    """Refuses a call as an agent host does."""

    async def behave(context: Any) -> None:
        status = status_of(error, "req_1")
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message, trailing_metadata=(trailing_details(status),))

    return behave


@KINDS
async def test_an_agent_that_the_host_does_not_know_yet_is_unavailable_and_not_the_callers_fault(
    agents: GrpcAgents, agent: Misbehaving, ask: Ask
) -> None:
    """Each process reads the definitions at its own time."""
    for unknown in (AgentNotFound.of(AGENT_ID), AgentNotFound("served elsewhere", agent_id=AGENT_ID, port="8299")):
        error = await failure(agents, agent, ask, refusing(unknown))
        assert isinstance(error, AgentUnavailable)
        assert "does not serve this agent at the moment; nothing was bought" in error.message


@KINDS
async def test_a_call_to_a_host_that_has_started_anew_is_made_again_with_a_token_for_that_start(
    agents: GrpcAgents, agent: Misbehaving, ask: Ask
) -> None:
    """The first refusal tells the start. It is kept for the calls that follow, and for a host that is restarted again."""
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
async def test_a_host_that_names_a_new_start_each_time_is_unavailable(agents: GrpcAgents, agent: Misbehaving, ask: Ask) -> None:
    async def refuse(context: Any) -> None:
        await refusing(InvalidCredentials("another start", host_start=str(new_id())))(context)

    assert isinstance(await failure(agents, agent, ask, refuse), AgentUnavailable)


@KINDS
async def test_nobody_on_the_port_means_that_nothing_was_bought(agents: GrpcAgents, ask: Ask) -> None:
    async with asyncio.timeout(1):
        with pytest.raises(AgentUnavailable):
            await ask(agents, call_to(any_free_port()), StopSignal())


@KINDS
async def test_a_program_that_speaks_no_grpc_is_no_agent(agents: GrpcAgents, ask: Ask) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server, asyncio.timeout(5):
        with pytest.raises(AgentUnavailable):
            await ask(agents, call_to(server.sockets[0].getsockname()[1]), StopSignal())


@KINDS
async def test_a_host_that_takes_the_connection_and_says_nothing_is_unavailable_soon(agents: GrpcAgents, ask: Ask) -> None:
    """As one does that was stopped: its kernel still accepts."""
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server, asyncio.timeout(2):
        with pytest.raises(AgentUnavailable):
            await ask(agents, call_to(server.sockets[0].getsockname()[1]), StopSignal())


@KINDS
async def test_a_grpc_server_that_hosts_no_agents_is_no_agent(agents: GrpcAgents, ask: Ask) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(AgentUnavailable):
        await ask(agents, call_to(port), StopSignal())
    await server.stop(0)


@pytest.mark.parametrize("ask", [watched, streamed])
async def test_a_connection_that_breaks_before_the_call_was_accepted_bought_nothing(
    agents: GrpcAgents, agent: Misbehaving, ask: Ask
) -> None:
    error = await failure(agents, agent, ask, aborting(grpc.StatusCode.UNAVAILABLE, begun=False))
    assert isinstance(error, AgentUnavailable)
    assert error.details == {"agent_id": AGENT_ID}


async def test_of_a_call_whose_acceptance_nobody_watched_the_worst_is_believed(agents: GrpcAgents, agent: Misbehaving) -> None:
    error = await failure(agents, agent, unary, aborting(grpc.StatusCode.UNAVAILABLE, begun=False))
    assert isinstance(error, AgentLost)
    error = await failure(agents, agent, unary, aborting(grpc.StatusCode.UNIMPLEMENTED, begun=False))
    assert isinstance(error, AgentUnavailable)


async def test_a_call_that_is_watched_is_known_to_have_begun_before_the_answer_comes(agents: GrpcAgents, agent: Misbehaving) -> None:
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


async def test_a_call_that_is_watched_and_ends_without_an_answer_is_lost(agents: GrpcAgents) -> None:
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
async def test_a_connection_that_breaks_afterwards_may_have_bought_something(
    agents: GrpcAgents, agent: Misbehaving, ask: Ask, code: grpc.StatusCode
) -> None:
    error = await failure(agents, agent, ask, aborting(code, begun=True))
    assert isinstance(error, AgentLost)
    assert "none of our words" not in error.message


@KINDS
async def test_an_agent_that_answers_too_late_is_a_timeout(agents: GrpcAgents, agent: Misbehaving, ask: Ask) -> None:
    async def hang(_: Any) -> None:
        await asyncio.Event().wait()

    error = await failure(agents, agent, ask, hang, seconds=0.3)
    assert isinstance(error, UpstreamTimeout)
    assert error.details == {"agent_id": AGENT_ID, "deadline_seconds": "0.3"}
    async with asyncio.timeout(1):
        await agent.gone.wait()


@KINDS
async def test_an_error_of_ours_is_passed_on(agents: GrpcAgents, agent: Misbehaving, ask: Ask) -> None:
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
async def test_a_stream_that_ends_without_usage_and_end_is_lost(
    agents: GrpcAgents, agent: Misbehaving, frames: list[pb.StreamExecuteResponse]
) -> None:
    agent.frames = frames
    with pytest.raises(AgentLost):
        await streamed(agents, call_to(agent.port), StopSignal())


async def test_a_whole_stream_is_an_answer_whatever_comes_between(agents: GrpcAgents, agent: Misbehaving) -> None:
    agent.frames = [DELTA, pb.StreamExecuteResponse(heartbeat=pb.Heartbeat()), DELTA, USAGE, DONE]
    pieces = [piece async for piece in agents.stream(call_to(agent.port), StopSignal())]
    assert pieces[:3] == ["Wri", None, "Wri"]
    assert (pieces[3].text, pieces[3].usage.input_tokens) == ("WriWri", 1)  # type: ignore[union-attr]


@KINDS
async def test_an_agent_that_does_not_end_a_cancelled_call_in_time_is_cut_off(agents: GrpcAgents, agent: Misbehaving, ask: Ask) -> None:
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
        await agent.gone.wait()


@KINDS
async def test_an_agent_that_falls_silent_is_lost_when_the_connection_is_found_dead(
    agent: Misbehaving, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that was stopped, a cable that was pulled: nothing closes the connection, only pings tell. In earnest they are slower."""

    async def hang(context: Any) -> None:
        await context.send_initial_metadata(ACCEPTED)
        await asyncio.Event().wait()

    agent.behave = hang
    soon = {"grpc.keepalive_time_ms": 500, "grpc.keepalive_timeout_ms": 500, "grpc.http2.ping_timeout_ms": 500}
    monkeypatch.setattr(channel, "CHANNEL_OPTIONS", tuple((dict(channel.CHANNEL_OPTIONS) | soon).items()))
    relay = SilentRelay(agent.port)
    channels = ChannelPool()
    agents = GrpcAgents(channels, AgentAddresses("127.0.0.1", 1, 0), SIGNER, GRACE_SECONDS)
    async with relay.listening():
        asking = asyncio.create_task(ask(agents, call_to(relay.port), StopSignal()))
        await relay.answered.wait()
        relay.silent = True
        with pytest.raises(AgentLost):
            await asking
        await channels.close()


async def test_health_tells_serving_from_not_serving_unknown_and_unreachable(agents: GrpcAgents) -> None:
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
