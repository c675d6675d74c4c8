"""The policy, as seen by callers of the orchestrator."""

import shutil
from collections.abc import Awaitable
from pathlib import Path

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as pb

from orchestrator.composition.settings import POLICY
from tests.adapters.agent_host.running import ALONE, FIRST, Host, agent_id
from tests.adapters.policy.conftest import running_opa
from tests.rpc.orchestrator.running import Orchestrator, documented_error, failure_of, read, running_orchestrator
from tests.support.ports import any_free_port


@pytest.fixture(scope="module")
def settings(shared_host: Host, books_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": books_url,
        "REDIS_URL": redis_url,
        "DEFINITIONS_PATH": str(shared_host.log.parent / "definitions"),
        "PORT_OFFSET": str(shared_host.offset),
    }


def restricting(folder: Path, number: int) -> Path:
    """The shipped policy with one agent that only a user who does not exist may call."""
    shutil.copytree(POLICY, folder)
    access = folder / "access.yaml"
    shipped = access.read_text()
    assert "\n    agents: {}\n" in shipped
    access.write_text(shipped.replace("\n    agents: {}\n", f"\n    agents: {{{agent_id(number)}: {{users: [somebody-else]}}}}\n"))
    return folder


def asking(orchestrator: Orchestrator, agent: str) -> Awaitable[pb.ExecuteAgentResponse]:
    return orchestrator.executions.ExecuteAgent(pb.ExecuteAgentRequest(agent_id=agent, input="x"), timeout=30)


async def test_a_restricted_agent_refuses_other_users(tmp_path: Path, settings: dict[str, str]) -> None:
    policy = restricting(tmp_path / "policy", FIRST)
    async with running_orchestrator(tmp_path, **settings, POLICY_PATH=str(policy)) as orchestrator:
        for refused in (
            await failure_of(asking(orchestrator, agent_id(FIRST))),
            documented_error(
                (await read(orchestrator.executions.StreamAgent(pb.StreamAgentRequest(agent_id=agent_id(FIRST), input="x")))).failure
            ),
        ):
            assert (refused.reason, refused.details["rule"]) == ("POLICY_DENIED", "restricted_agent")
        assert (await failure_of(asking(orchestrator, "nobody_agent_1_999"))).reason == "AGENT_NOT_FOUND"
        assert (await asking(orchestrator, agent_id(ALONE))).result


async def test_every_call_is_denied_if_the_configured_opa_is_down(tmp_path: Path, settings: dict[str, str]) -> None:
    async with running_orchestrator(tmp_path, **settings, OPA_URL=f"http://127.0.0.1:{any_free_port()}") as orchestrator:
        refused = await failure_of(asking(orchestrator, agent_id(ALONE)))
        assert (refused.reason, refused.details) == ("POLICY_DENIED", {"cause": "policy_unavailable"})
        with pytest.raises(grpc.aio.AioRpcError) as listing:
            await orchestrator.executions.ListExecutions(pb.ListExecutionsRequest(), timeout=30)
        assert documented_error(listing.value).reason == "POLICY_DENIED"


async def test_an_invalid_policy_keeps_the_orchestrator_from_starting(tmp_path: Path, settings: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="POLICY_PATH"):
        async with running_orchestrator(tmp_path, **settings, POLICY_PATH=str(tmp_path)):
            pass


async def test_opas_decision_is_applied(tmp_path: Path, settings: dict[str, str], opa: Path) -> None:
    async with (
        running_opa(opa, restricting(tmp_path / "policy", FIRST)) as server,
        running_orchestrator(tmp_path, **settings, OPA_URL=server.url) as orchestrator,
    ):
        assert (await asking(orchestrator, agent_id(ALONE))).result
        refused = await failure_of(asking(orchestrator, agent_id(FIRST)))
        assert (refused.reason, refused.details["rule"]) == ("POLICY_DENIED", "restricted_agent")
