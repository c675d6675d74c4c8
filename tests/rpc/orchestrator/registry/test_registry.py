from pathlib import Path

import pytest
from agentmesh.health.v1 import health_service_pb2
from agentmesh.registry.v1 import registry_pb2
from agentmesh.registry.v1 import registry_service_pb2 as pb
from google.protobuf.json_format import MessageToDict
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.adapters.agent_host.running import ALONE, CHECKED, FIRST, SECOND, agent_id, write_agent
from tests.rpc.orchestrator.running import Mesh, failure_of
from tests.support.waiting import eventually


def definitions(mesh: Mesh) -> Path:
    return mesh.host.log.parent / "definitions"


async def listed(mesh: Mesh, **wishes: object) -> tuple[list[int], int]:
    answer = await mesh.orchestrator.registry.ListAgents(pb.ListAgentsRequest(**wishes))  # type: ignore[arg-type]
    return [agent.number for agent in answer.agents], answer.total


async def test_agents_are_listed_by_number_with_the_total(mesh: Mesh) -> None:
    assert await listed(mesh) == ([ALONE, FIRST, CHECKED, SECOND], 4)
    assert await listed(mesh, limit=2, offset=1) == ([FIRST, CHECKED], 4)


async def test_agents_are_found_by_search_and_category(mesh: Mesh) -> None:
    assert await listed(mesh, search="helper 807") == ([SECOND], 1)
    assert await listed(mesh, category="own") == ([ALONE, FIRST, CHECKED, SECOND], 4)
    assert await listed(mesh, category="nobody") == ([], 0)


async def test_a_list_omits_schemas_and_examples_unless_the_view_is_full(mesh: Mesh) -> None:
    brief = await mesh.orchestrator.registry.ListAgents(pb.ListAgentsRequest())
    assert not any(agent.HasField("context_schema") or agent.examples for agent in brief.agents)
    full = await mesh.orchestrator.registry.ListAgents(pb.ListAgentsRequest(view=pb.AGENT_VIEW_FULL))
    assert all(agent.HasField("context_schema") for agent in full.agents)
    for one, other in zip(brief.agents, full.agents, strict=True):
        other.ClearField("context_schema")
        other.ClearField("examples")
        assert one == other


async def test_an_agent_is_shown_completely(mesh: Mesh) -> None:
    agent = (await mesh.orchestrator.registry.GetAgent(pb.GetAgentRequest(agent_id=agent_id(CHECKED)))).agent
    assert (agent.agent_id, agent.name, agent.port, agent.model) == (
        *(agent_id(CHECKED), f"Helper {CHECKED}", mesh.host.port(CHECKED), "claude-sonnet-5-5"),
    )
    assert MessageToDict(agent.context_schema)["required"] == ["market"]
    assert len(agent.revision) == 12


async def test_categories_are_listed_with_roles_and_sizes(mesh: Mesh) -> None:
    (category,) = (await mesh.orchestrator.registry.ListCategories(pb.ListCategoriesRequest())).categories
    assert (category.name, list(category.roles), category.agent_count) == ("own", ["helper"], 4)


async def test_a_healthy_agent_is_serving(mesh: Mesh) -> None:
    answer = await mesh.orchestrator.registry.CheckAgentHealth(pb.CheckAgentHealthRequest(agent_id=agent_id(SECOND)))
    health = answer.health
    assert (health.status, health.port) == (registry_pb2.AGENT_HEALTH_STATUS_SERVING, mesh.host.port(SECOND))
    assert 0 < health.latency_seconds < 1
    assert health.checked_at.seconds > 0


@pytest.mark.parametrize("rpc", ["GetAgent", "CheckAgentHealth"])
async def test_an_unknown_agent_is_not_found(mesh: Mesh, rpc: str) -> None:
    for wanted in ("own_helper_agent_1_999", "own_helper", "Own Helper\n"):  # ids of any form are looked up
        request = getattr(pb, f"{rpc}Request")(agent_id=wanted)
        error = await failure_of(getattr(mesh.orchestrator.registry, rpc)(request))
        assert (error.reason, error.details["agent_id"]) == ("AGENT_NOT_FOUND", wanted)
        nearest = error.details["nearest"].split(", ")
        assert 1 <= len(nearest) <= 3
        assert all(one.startswith("own_helper_agent_1_") and one in error.message for one in nearest)


async def test_added_changed_and_removed_definitions_are_visible_in_registry_search_and_calls(mesh: Mesh) -> None:
    path = write_agent(definitions(mesh), 801, focus="You know everything about beekeeping.")  # on the port of another agent
    try:
        path.write_text(path.read_text().replace("Helps people.", "Knows beekeeping."))

        async def found() -> bool:
            return await listed(mesh, search="beekeep") == ([801], 1)

        await eventually(found)

        async def served() -> bool:
            return await mesh.host.serves(801)

        await eventually(served)
        assert (await mesh.call(801).execute()).agent_name == "Helper 801"
        path.write_text(path.read_text().replace("name: Helper 801", "name: Apiarist"))

        async def renamed() -> bool:
            return (await mesh.orchestrator.registry.GetAgent(pb.GetAgentRequest(agent_id=agent_id(801)))).agent.name == "Apiarist"

        await eventually(renamed)
    finally:
        path.unlink()

    async def is_removed() -> bool:
        return await listed(mesh) == ([ALONE, FIRST, CHECKED, SECOND], 4)

    await eventually(is_removed)
    assert (await failure_of(mesh.call(801).execute())).reason == "AGENT_NOT_FOUND"


async def test_an_invalid_definition_is_reported_and_the_others_are_served(mesh: Mesh) -> None:
    broken = definitions(mesh) / "broken.yaml"
    broken.write_text("category: own\nrole: [")
    try:

        async def reported() -> bool:
            return any("broken.yaml" in line["source"] for line in mesh.orchestrator.logged("definition_refused"))

        await eventually(reported)
        assert await listed(mesh) == ([ALONE, FIRST, CHECKED, SECOND], 4)
    finally:
        broken.unlink()


async def test_the_platform_reports_healthy_and_ready(mesh: Mesh) -> None:
    health = await mesh.orchestrator.health.GetHealth(health_service_pb2.GetHealthRequest())
    ready = await mesh.orchestrator.health.GetReadiness(health_service_pb2.GetReadinessRequest())
    assert (health.status, ready.status) == ("healthy", "ready")
    assert [(part.name, part.available, part.detail) for part in ready.components] == [
        ("agent_hosts", True, "1 of 1 hosts serving"),
        ("postgresql", True, "answers"),
        ("redis", True, "answers"),
    ]


@pytest.mark.parametrize("service", ["", "agentmesh.execution.v1.ExecutionService", "agentmesh.registry.v1.RegistryService"])
async def test_grpc_health_knows_the_process_and_its_services(mesh: Mesh, service: str) -> None:
    answer = await HealthStub(mesh.orchestrator.channel).Check(HealthCheckRequest(service=service))
    assert answer.status == HealthCheckResponse.SERVING


async def test_agents_are_recommended_with_a_reason_a_score_and_an_estimate(mesh: Mesh) -> None:
    wanted = pb.RecommendAgentsRequest(task="helper", limit=2)
    answer = await mesh.orchestrator.registry.RecommendAgents(wanted)
    first = answer.recommendations[0]
    assert first.agent.number in (ALONE, FIRST, CHECKED, SECOND)  # they differ in nothing but their numbers
    assert len(answer.recommendations) == 2
    assert first.reason.endswith(".")
    assert 0 < first.estimate.cost_micro_usd <= first.estimate.max_cost_micro_usd
    assert 0 <= answer.recommendations[1].score <= first.score <= 1


@pytest.mark.parametrize("wishes", [{}, {"task": "x" * 20_001}, {"task": "x", "limit": 0}])
async def test_an_invalid_wish_for_recommendations_is_refused(mesh: Mesh, wishes: dict[str, object]) -> None:
    error = await failure_of(mesh.orchestrator.registry.RecommendAgents(pb.RecommendAgentsRequest(**wishes)))  # type: ignore[arg-type]
    assert error.reason == "VALIDATION_ERROR"
