"""The whole stack with mTLS between its services: nothing changes for users, and internal ports refuse clients without a certificate."""

import asyncio
from pathlib import Path

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as agent
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from deploy.local.secrets.certs import issue_all
from mesh.security.identities import AGENT_HOST, GATEWAY, ORCHESTRATOR, service_of
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.e2e.workflows import Workflows, task
from tests.support.tls import certificate_at, client_channel
from tests.support.waiting import eventually

SECONDS = 20


def folder(platform: Platform, identity: str) -> Path:
    """The certificates of a service of the stack."""
    assert platform.stack.certificates is not None
    return platform.stack.certificates / service_of(identity)


def agents_port(platform: Platform) -> int:
    return platform.stack.ports.agents.start + 1


async def test_users_call_agents_as_without_tls(secured: Platform) -> None:
    response = await secured.execute(question())
    assert (response.status_code, response.json()["agent_name"] != "") == (200, True)
    stream = await secured.http.post(f"/api/v1/agents/{AGENT}/stream", json={"input": question()})
    assert '"done":' in stream.text
    assert "_STATUS_SERVING" in (await secured.http.get(f"/api/v1/agents/{AGENT}/health")).text


@pytest.mark.parametrize("target", ["orchestrator", "agent"])
async def test_plaintext_is_refused(secured: Platform, target: str) -> None:
    port = secured.stack.ports.orchestrator if target == "orchestrator" else agents_port(secured)
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await HealthStub(channel).Check(HealthCheckRequest(), timeout=SECONDS)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_call_token_without_a_certificate_does_not_open_an_agents_port(secured: Platform) -> None:
    text, token = question(), secured.call_token(AGENT)
    request = agent.ExecuteRequest(agent_id=AGENT, input=text)
    for shown in (None, folder(secured, GATEWAY)):
        async with client_channel(agents_port(secured), AGENT_HOST, folder(secured, GATEWAY), shown) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await AgentServiceStub(channel).Execute(request, metadata=token, timeout=SECONDS)
    async with client_channel(agents_port(secured), AGENT_HOST, folder(secured, GATEWAY), folder(secured, ORCHESTRATOR)) as channel:
        assert (await AgentServiceStub(channel).Execute(request, metadata=token, timeout=SECONDS)).agent_name


async def test_native_tools_need_the_roots_and_for_an_agent_a_certificate(secured: Platform, grpcurl: Path) -> None:
    own = folder(secured, GATEWAY)
    roots, shown = ("-cacert", str(own / "ca.crt")), ("-cert", str(own / "tls.crt"), "-key", str(own / "tls.key"))
    assert "agentmesh.execution.v1.ExecutionService" in await output_of(grpcurl, *roots, secured.stack.orchestrator_target, "list")
    port = f"localhost:{agents_port(secured)}"
    assert AGENT in await output_of(grpcurl, *roots, *shown, port, "agentmesh.agent.v1.AgentService/Describe")


async def output_of(program: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(str(program), "-max-time", "30", *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_one_command_renews_the_certificates_of_a_running_stack(secured: Platform) -> None:
    assert secured.stack.certificates is not None
    client = folder(secured, GATEWAY)
    ports = (secured.stack.ports.orchestrator, agents_port(secured))
    before = [(await certificate_at(port, client)).serial_number for port in ports]
    issue_all(secured.stack.certificates)

    async def renewed() -> bool:
        now = [(await certificate_at(port, client)).serial_number for port in ports]
        return not set(now) & set(before)

    await eventually(renewed)
    assert (await secured.execute(question())).status_code == 200


async def test_the_worker_calls_agents(secured: Platform) -> None:
    workflows = Workflows(secured)
    made = await workflows.create(task("first"), task("second", "Use this: {{tasks.first.result}}"))
    run = await workflows.ended((await workflows.execute(made["workflow_id"]))["run_id"])
    assert run["status"] == "RUN_STATUS_COMPLETED"
