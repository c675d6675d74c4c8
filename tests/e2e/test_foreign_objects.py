"""What belongs to one user is not there for another: a table of every rpc of the contract, by name."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agentmesh.event.v1 import event_service_pb2  # noqa: F401 - every service of the descriptor set is known once it is imported
from agentmesh.workflow.v1 import workflow_service_pb2  # noqa: F401

from tests.credentials import bearer
from tests.e2e.contract_rpcs import ContractRpc, every_rpc
from tests.e2e.people import AUTH, Person, new_key, new_person
from tests.e2e.platform import Platform, question

Foreign = Callable[[Platform, Person], Awaitable[dict[str, Any]]]


async def an_execution(platform: Platform, owner: Person) -> dict[str, Any]:
    answer = await platform.execute(question(), headers=owner.headers)
    return {"execution_id": answer.raise_for_status().json()["execution_id"]}


async def an_api_key(platform: Platform, owner: Person) -> dict[str, Any]:
    return {"api_key_id": (await new_key(platform, owner))[0]}


FOREIGN: dict[str, tuple[str, Foreign]] = {
    "ExecutionService.GetExecution": ("EXECUTION_NOT_FOUND", an_execution),
    "AuthService.RevokeApiKey": ("API_KEY_NOT_FOUND", an_api_key),
}
"""The rpcs that name an object of a user's, and what they say of another's."""
NAME_NO_OBJECT = {
    *("AuthService.Register", "AuthService.Login", "AuthService.RefreshToken", "AuthService.Logout", "AuthService.GetCurrentUser"),
    *("AuthService.CreateApiKey", "AuthService.ListApiKeys"),
    *("RegistryService.ListAgents", "RegistryService.GetAgent", "RegistryService.ListCategories", "RegistryService.CheckAgentHealth"),
    *("PlatformService.GetHealth", "PlatformService.GetReadiness"),
    *("ExecutionService.ExecuteAgent", "ExecutionService.StreamAgent", "ExecutionService.ListExecutions"),
}
"""Nothing in their requests is a user's; what the lists among them show is tested below."""
RPCS = {rpc.name: rpc for rpc in every_rpc()}
ARRIVES_WITH_A_LATER_ISSUE = {name for name in RPCS if name.startswith(("WorkflowService.", "EventService."))}


def test_no_rpc_is_forgotten() -> None:
    """A new rpc says here whether it names an object, before it is published."""
    assert sorted([*FOREIGN, *NAME_NO_OBJECT, *ARRIVES_WITH_A_LATER_ISSUE]) == sorted(RPCS)


@pytest.fixture(scope="module")
async def owner(shared_platform: Platform) -> Person:
    return await new_person(shared_platform)


@pytest.fixture(scope="module")
async def stranger(shared_platform: Platform) -> Person:
    return await new_person(shared_platform)


@pytest.mark.parametrize("name", FOREIGN)
async def test_a_foreign_object_is_not_found_and_changed_by_nobody(platform: Platform, owner: Person, stranger: Person, name: str) -> None:
    """The same answer as for one that never was; and its owner finds it as it was."""
    reason, make = FOREIGN[name]
    rpc, fields = RPCS[name], await make(platform, owner)
    never_was = dict.fromkeys(fields, "01900000-0000-7000-8000-000000000000")
    for door in platform.doors.values():
        assert await called(rpc, door, stranger, fields) == reason
        assert await called(rpc, door, stranger, never_was) == reason
    assert await called(rpc, platform.doors["orchestrator"], owner, fields) == "OK"


async def called(rpc: ContractRpc, door: Any, who: Person, fields: dict[str, Any]) -> str:
    return await rpc.reason(door, rpc.request(**fields), list(bearer(who.access_token).items()))


async def test_lists_hold_ones_own_and_no_others(platform: Platform, owner: Person, stranger: Person) -> None:
    execution, key = await an_execution(platform, owner), await an_api_key(platform, owner)
    for who, sees in ((owner, True), (stranger, False)):
        executions = (await platform.anonymous.get("/api/v1/executions?page_size=200", headers=who.headers)).json()["executions"]
        keys = (await platform.anonymous.get(f"{AUTH}/api-keys", headers=who.headers)).json()["api_keys"]
        assert (execution["execution_id"] in {one["execution_id"] for one in executions}) is sees
        assert (key["api_key_id"] in {one["api_key_id"] for one in keys}) is sees


async def test_an_administrator_sees_every_execution(platform: Platform, owner: Person) -> None:
    """`platform.http` is the first administrator's."""
    execution_id = (await an_execution(platform, owner))["execution_id"]
    assert (await platform.execution(execution_id))["execution_id"] == execution_id
    listed = (await platform.http.get("/api/v1/executions?page_size=200")).json()["executions"]
    assert execution_id in {one["execution_id"] for one in listed}


async def test_two_users_may_use_the_same_idempotency_key(platform: Platform, owner: Person, stranger: Person) -> None:
    """It is the user's own: the other's answer is neither told nor a conflict."""
    key, text = secrets.token_hex(8), question()
    first = (await platform.execute(text, headers=owner.headers, idempotency_key=key)).json()
    second = (await platform.execute(text + " really?", headers=stranger.headers, idempotency_key=key)).json()
    assert first["execution_id"] != second["execution_id"]
