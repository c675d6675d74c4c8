"""The real grpcurl without proto files, by reflection: at the gateway, at the orchestrator, and at an agent."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.wire import REQUEST_ID
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.support.waiting import eventually

Grpcurl = Callable[..., Awaitable[str]]
PUBLIC = {
    "agentmesh.execution.v1.ExecutionService",
    "agentmesh.identity.v1.AuthService",
    "agentmesh.health.v1.HealthService",
    "agentmesh.registry.v1.RegistryService",
    "agentmesh.workflow.v1.WorkflowService",
    "grpc.health.v1.Health",
}


@pytest.fixture(scope="session")
def run(grpcurl: Path, shared_platform: Platform) -> Grpcurl:
    """Runs grpcurl as the first administrator and returns its output; `failing` if the call must fail."""
    credential = f"authorization: Bearer {shared_platform.stack.credentials.token}"

    async def run(*arguments: str, failing: bool = False) -> str:
        command = [str(grpcurl), "-plaintext", "-max-time", "30", "-H", credential, *arguments]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        output = (await process.communicate())[0].decode()
        assert (process.returncode != 0) == failing, output
        return output

    return run


@pytest.fixture(params=["gateway", "orchestrator"])
def channel(platform: Platform, request: pytest.FixtureRequest) -> str:
    """The addresses of the gateway and the orchestrator."""
    ports = platform.stack.ports
    return f"localhost:{ports.gateway if request.param == 'gateway' else ports.orchestrator}"


@pytest.fixture
def agents_port(platform: Platform) -> str:
    """The address of one agent's port."""
    return f"localhost:{platform.stack.ports.agents.start + 1}"


def _documents(output: str) -> list[Any]:
    """The JSON documents that grpcurl printed one after the other."""
    decoder, documents, at = json.JSONDecoder(), [], 0
    while at < len(output.rstrip()):
        document, end = decoder.raw_decode(output, at)
        documents.append(document)
        at = end + 1
    return documents


async def test_reflection_lists_and_describes_the_services(run: Grpcurl, channel: str) -> None:
    assert set((await run(channel, "list")).split()) >= PUBLIC
    methods = await run(channel, "list", "agentmesh.execution.v1.ExecutionService")
    assert "agentmesh.execution.v1.ExecutionService.StreamAgent" in methods.split()
    assert "rpc ExecuteAgent" in await run(channel, "describe", "agentmesh.execution.v1.ExecutionService")
    assert "string input = 2" in await run(channel, "describe", "agentmesh.execution.v1.ExecuteAgentRequest")


async def test_a_call_is_answered(run: Grpcurl, channel: str) -> None:
    found = json.loads(
        await run("-d", '{"search": "technical seo", "limit": 1}', channel, "agentmesh.registry.v1.RegistryService/ListAgents")
    )
    assert [agent["agentId"] for agent in found["agents"]] == [AGENT]
    work = json.dumps({"agent_id": AGENT, "input": question()})
    answer = json.loads(await run("-d", work, channel, "agentmesh.execution.v1.ExecutionService/ExecuteAgent"))
    assert answer["metadata"]["provider"] == "simulator"
    assert "SERVING" in await run(channel, "grpc.health.v1.Health/Check")


async def test_a_stream_is_answered(run: Grpcurl, channel: str) -> None:
    work = json.dumps({"agent_id": AGENT, "input": question()})
    events = _documents(await run("-d", work, channel, "agentmesh.execution.v1.ExecutionService/StreamAgent"))
    assert "started" in events[0]
    assert "done" in events[-1]


async def test_a_workflow_runs(run: Grpcurl, channel: str) -> None:
    service = "agentmesh.workflow.v1.WorkflowService"
    asked = {"name": "Launch", "tasks": [{"id": "plan", "agent_id": AGENT, "input": question()}]}
    made = json.loads(await run("-d", json.dumps(asked), channel, f"{service}/CreateWorkflow"))["workflow"]
    started = json.loads(await run("-d", json.dumps({"workflow_id": made["workflowId"]}), channel, f"{service}/ExecuteWorkflow"))["run"]

    async def completed() -> bool:
        shown = json.loads(await run("-d", json.dumps({"run_id": started["runId"]}), channel, f"{service}/GetRun"))["run"]
        return bool(shown["status"] == "RUN_STATUS_COMPLETED" and shown["steps"][0]["result"])

    await eventually(completed)


async def test_an_error_is_printed_with_its_typed_details(run: Grpcurl, channel: str) -> None:
    call = ("-d", '{"agent_id": "nobody_agent_1_999999"}', channel, "agentmesh.registry.v1.RegistryService/GetAgent")
    output = await run("-format-error", *call, failing=True)
    status = json.loads(output)
    assert status["code"] == 5
    details = {detail["@type"].rpartition(".")[2]: detail for detail in status["details"]}
    assert details["ErrorInfo"]["reason"] == "AGENT_NOT_FOUND"
    assert REQUEST_ID.fullmatch(details["RequestInfo"]["request_id"])


async def test_an_agent_describes_itself_on_its_own_port(run: Grpcurl, agents_port: str) -> None:
    services = (await run(agents_port, "list")).split()
    assert "agentmesh.agent.v1.AgentService" in services
    assert not [service for service in services if "ExecutionService" in service]
    assert "rpc Describe" in await run(agents_port, "describe", "agentmesh.agent.v1.AgentService")
    for service in ("", AGENT):
        health = await run("-d", json.dumps({"service": service}), agents_port, "grpc.health.v1.Health/Check")
        assert json.loads(health) == {"status": "SERVING"}
    described = json.loads(await run("-d", "{}", agents_port, "agentmesh.agent.v1.AgentService/Describe"))
    assert described["agent"]["agentId"] == AGENT


async def test_an_agent_on_another_port_is_not_found_and_the_error_names_its_port(
    run: Grpcurl, platform: Platform, agents_port: str
) -> None:
    other = (await platform.http.get("/api/v1/agents", params={"limit": 1, "offset": 1})).json()["agents"][0]
    call = ("-d", json.dumps({"agent_id": other["agent_id"]}), agents_port, "agentmesh.agent.v1.AgentService/Describe")
    status = json.loads(await run("-format-error", *call, failing=True))
    info = next(detail for detail in status["details"] if detail["@type"].endswith("ErrorInfo"))
    assert (info["reason"], info["metadata"]["port"]) == ("AGENT_NOT_FOUND", str(other["port"]))


async def test_an_agents_port_refuses_calls_without_a_call_token(run: Grpcurl, agents_port: str) -> None:
    call = ("-d", json.dumps({"agent_id": AGENT, "input": "Help"}), agents_port, "agentmesh.agent.v1.AgentService/Execute")
    output = await run(*call, failing=True)
    assert "Unauthenticated" in output
    assert "AUTH_INVALID_CREDENTIALS" in output


async def test_a_health_watch_begins_with_the_current_state(run: Grpcurl, agents_port: str) -> None:
    # The stream never ends by itself; grpcurl's time limit ends it.
    call = ("-d", json.dumps({"service": AGENT}), agents_port, "grpc.health.v1.Health/Watch")
    output = await run("-max-time", "1", *call, failing=True)
    assert '"status": "SERVING"' in output
