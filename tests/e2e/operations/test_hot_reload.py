"""Definitions change while the platform runs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as agent
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub

from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT, write_agent, write_file
from tests.e2e.platform import Platform, question
from tests.support.waiting import eventually

NEW_AGENT = "trials_newcomer_agent_9_790009"


@pytest.fixture
def definitions_folder(platform: Platform) -> Iterator[Path]:
    """The folder of definitions; files that a test adds are removed afterwards."""
    yield platform.definitions
    for path in platform.definitions.glob(f"{NEW_AGENT}.*"):
        path.unlink()


async def _described(platform: Platform, port: int) -> Any:
    """The description from the agent's own port, or None if there is none."""
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return (await AgentServiceStub(channel).Describe(agent.DescribeRequest(agent_id=NEW_AGENT), timeout=2)).agent
    return None


async def _served(platform: Platform, name: str) -> dict[str, Any]:
    """The agent, once the whole platform serves it under that name: registry, port and health."""

    async def served() -> dict[str, Any] | None:
        response = await platform.http.get(f"/api/v1/agents/{NEW_AGENT}")
        if response.status_code != 200 or response.json()["agent"]["name"] != name:
            return None
        listed: dict[str, Any] = response.json()["agent"]
        described = await _described(platform, listed["port"])
        health = await platform.http.get(f"/api/v1/agents/{NEW_AGENT}/health")
        return listed if described and described.name == name and "_STATUS_SERVING" in health.text else None

    listed = await eventually(served)
    assert listed is not None
    return listed


async def test_an_agent_added_to_the_folder_is_served_within_seconds(platform: Platform, definitions_folder: Path) -> None:
    error_of(await platform.http.get(f"/api/v1/agents/{NEW_AGENT}"), 404, "AGENT_NOT_FOUND")
    before = (await platform.http.get("/api/v1/agents")).json()["total"]
    write_agent(definitions_folder, NEW_AGENT, name="Zymurgy Adviser", tags=["zymurgy"])
    listed = await _served(platform, "Zymurgy Adviser")
    assert listed["port"] == platform.stack.ports.agents.start + 790009 % 800
    assert (await platform.http.get("/api/v1/agents")).json()["total"] == before + 1
    found = (await platform.http.get("/api/v1/agents", params={"search": "zymurgy"})).json()
    assert [one["agent_id"] for one in found["agents"]] == [NEW_AGENT]
    answer = (await platform.execute(question(), agent_id=NEW_AGENT)).json()
    assert (answer["agent_name"], answer["metadata"]["agent_revision"]) == ("Zymurgy Adviser", listed["revision"])


async def test_a_changed_definition_is_served_under_a_new_revision(platform: Platform, definitions_folder: Path) -> None:
    write_agent(definitions_folder, NEW_AGENT, name="First Name")
    first = await _served(platform, "First Name")
    write_agent(definitions_folder, NEW_AGENT, name="Second Name", max_tokens=256)
    second = await _served(platform, "Second Name")
    assert (second["max_tokens"], second["revision"] == first["revision"]) == (256, False)
    answer = (await platform.execute(question(), agent_id=NEW_AGENT)).json()
    assert answer["metadata"]["agent_revision"] == second["revision"]


async def test_a_file_that_becomes_invalid_is_reported_and_its_last_version_keeps_serving(
    platform: Platform, definitions_folder: Path
) -> None:
    path = write_agent(definitions_folder, NEW_AGENT, name="Steady Adviser")
    listed = await _served(platform, "Steady Adviser")
    write_file(path, '{"agent_id": "trials_newc')

    async def reported() -> bool:
        logs = [platform.stack.state.log(process).read_text() for process in ("orchestrator", "agents-0")]
        return all("definition_refused" in log and f'"{path}"' in log for log in logs)

    await eventually(reported)
    answer = (await platform.execute(question(), agent_id=NEW_AGENT)).json()
    assert (answer["agent_name"], answer["metadata"]["agent_revision"]) == ("Steady Adviser", listed["revision"])
    assert (await platform.execute(question())).status_code == 200
    write_agent(definitions_folder, NEW_AGENT, name="Mended Adviser")
    await _served(platform, "Mended Adviser")


async def test_an_agent_whose_file_is_removed_is_not_found(platform: Platform, definitions_folder: Path) -> None:
    path = write_agent(definitions_folder, NEW_AGENT, name="Fleeting Adviser")
    listed = await _served(platform, "Fleeting Adviser")
    path.unlink()

    async def is_removed() -> bool:
        response = await platform.http.get(f"/api/v1/agents/{NEW_AGENT}")
        return response.status_code == 404 and await _described(platform, listed["port"]) is None

    await eventually(is_removed)
    error_of(await platform.execute(question(), agent_id=NEW_AGENT), 404, "AGENT_NOT_FOUND")


async def test_a_call_in_progress_survives_a_reload(platform: Platform, definitions_folder: Path) -> None:
    text = question()
    await platform.provider.fault("trickle", text, argument=100)
    async with platform.http.stream("POST", f"/api/v1/agents/{AGENT}/stream", json={"input": text}) as response:
        lines = response.aiter_lines()
        await anext(lines)
        write_agent(definitions_folder, NEW_AGENT, name="Interrupting Adviser")
        await _served(platform, "Interrupting Adviser")
        rest = [line async for line in lines if line]
    assert '"done"' in rest[-1]
