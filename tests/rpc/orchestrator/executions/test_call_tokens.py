"""The orchestrator's side of call tokens: what it signs, and the error of users if its agents do not know its key."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2_grpc

from mesh.errors import MeshError
from mesh.rpc.channel import ChannelPool
from mesh.security import keys
from mesh.security.call_tokens import CALL_TOKEN_KEY, CallClaims, CallTokenVerifier
from mesh.security.errors import InvalidCredentials
from mesh.security.identities import ORCHESTRATOR
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.agents import AgentAddresses, GrpcAgents
from orchestrator.executions.books import new_id
from orchestrator.executions.ports import AgentCall
from orchestrator.executions.stop import StopSignal
from tests.rpc.orchestrator.executions.test_agent_failures import refusing
from tests.rpc.orchestrator.misbehaving import ScriptedAgent
from tests.rpc.orchestrator.process.test_process import standard
from tests.rpc.orchestrator.running import Mesh, documented_error, failure_of, read, running_orchestrator
from tests.support.call_tokens import PUBLIC_KEY, SIGNER
from tests.unit.orchestrator.making import AGENT_ID


async def test_each_call_carries_its_own_token_for_its_user_agent_and_execution() -> None:
    verifier, seen = CallTokenVerifier(keys.read_public(PUBLIC_KEY)), []

    async def look(context: Any) -> None:
        try:
            seen.append(verifier.read(dict(context.invocation_metadata())[CALL_TOKEN_KEY]))
        except InvalidCredentials as refusal:
            await refusing(refusal)(context)
        await context.abort(grpc.StatusCode.ABORTED, "seen enough")

    agent, server, channels = ScriptedAgent(), grpc.aio.server(), ChannelPool(BackgroundTasks())
    agent.behave = look
    agent_service_pb2_grpc.add_AgentServiceServicer_to_server(agent, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    call = AgentCall(AGENT_ID, port, 42, new_id(), "How do we rank?", None, 10)
    agents = GrpcAgents(channels, AgentAddresses("127.0.0.1", 1, 0), SIGNER, 0.2, BackgroundTasks())
    with pytest.raises(MeshError):
        await agents.execute(call, StopSignal())
    with pytest.raises(MeshError):
        _ = [item async for item in agents.stream(call, StopSignal())]
    await channels.close()
    await server.stop(0)
    assert len({claims.token_id for claims in seen}) == 2
    assert {facts(claims) for claims in seen} == {(ORCHESTRATOR, AGENT_ID, 42, str(call.execution_id))}


def facts(claims: CallClaims) -> tuple[str, str, int, str]:
    return claims.issuer, claims.agent_id, claims.user_id, claims.execution_id


async def test_a_key_that_the_hosts_do_not_know_is_not_a_callers_error_and_buys_nothing(
    mesh: Mesh, books_url: str, redis_url: str, tmp_path: Path
) -> None:
    """With a 401, users would log in again."""
    settings = standard(mesh, books_url, redis_url) | {"CALL_TOKEN_PRIVATE_KEY": keys.make_pair()[0]}
    async with running_orchestrator(tmp_path, **settings) as other_orchestrator:
        other_mesh = Mesh(other_orchestrator, mesh.host, mesh.provider, mesh.db)
        whole, streamed = other_mesh.call(), other_mesh.call()
        errors = [await failure_of(whole.execute()), documented_error((await read(streamed.stream())).failure)]
        logged = other_orchestrator.logged("agent_refused_call_token")
    assert [error.reason for error in errors] == ["AGENT_UNAVAILABLE"] * 2
    assert len(logged) == 2
    assert "a key that this host does not know" in logged[0]["why"]
    for call in (whole, streamed):
        assert (await call.settled())["cost_micro_usd"] == 0
        assert await call.purchases() == []
