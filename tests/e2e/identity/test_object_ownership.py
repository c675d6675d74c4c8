"""An object that belongs to another user is not found: a table of every rpc of the contract, by name."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agentmesh.workflow.v1 import workflow_pb2

from tests.e2e.identity.contract_rpcs import NOT_SERVED_YET, ContractRpc, every_rpc
from tests.e2e.platform import Platform, question
from tests.e2e.users import User, logged_in, new_key, new_user
from tests.e2e.workflows import task
from tests.support.credentials import bearer
from tests.support.waiting import eventually

UNKNOWN_USER = 2**31 - 1
NEVER_WAS = "01900000-0000-7000-8000-000000000000"
Foreign = Callable[[Platform, User], Awaitable[dict[str, Any]]]


async def an_execution(platform: Platform, owner: User) -> dict[str, Any]:
    answer = await platform.execute(question(), headers=owner.headers)
    return {"execution_id": answer.raise_for_status().json()["execution_id"]}


async def an_api_key(platform: Platform, owner: User) -> dict[str, Any]:
    return {"api_key_id": (await new_key(platform, owner))[0]}


async def a_workflow(platform: Platform, owner: User) -> dict[str, Any]:
    body = {"name": "Mine", "tasks": [task("only")]}
    answer = await platform.anonymous.post("/api/v1/workflows", json=body, headers=owner.headers)
    return {"workflow_id": answer.raise_for_status().json()["workflow"]["workflow_id"]}


async def a_run(platform: Platform, owner: User) -> dict[str, Any]:
    workflow_id = (await a_workflow(platform, owner))["workflow_id"]
    answer = await platform.anonymous.post(f"/api/v1/workflows/{workflow_id}/execute", json={}, headers=owner.headers)
    return {"run_id": answer.raise_for_status().json()["run"]["run_id"]}


async def a_finished_run(platform: Platform, owner: User) -> dict[str, Any]:
    run = await a_run(platform, owner)

    async def finished() -> bool:
        answer = await platform.anonymous.get(f"/api/v1/runs/{run['run_id']}", headers=owner.headers)
        return bool(answer.raise_for_status().json()["run"]["status"] == "RUN_STATUS_COMPLETED")

    await eventually(finished)
    return run


async def a_step(platform: Platform, owner: User) -> dict[str, Any]:
    return {**await a_run(platform, owner), "step_id": "only"}


async def a_decision(platform: Platform, owner: User) -> dict[str, Any]:
    return {**await a_run(platform, owner), "step_id": "only", "decision": workflow_pb2.APPROVAL_DECISION_APPROVED}


async def a_session(platform: Platform, owner: User) -> dict[str, Any]:
    await logged_in(platform, owner.user_id, owner.username, owner.password)
    answer = await platform.anonymous.get("/api/v1/auth/sessions?page_size=1", headers=owner.headers)
    return {"session_id": answer.raise_for_status().json()["sessions"][0]["session_id"]}


async def an_account(platform: Platform, owner: User) -> dict[str, Any]:
    return {"user_id": owner.user_id}


async def all_other_sessions(platform: Platform, owner: User) -> dict[str, Any]:
    return {"user_id": owner.user_id, "keep_current": True}


async def a_disabled_account(platform: Platform, owner: User) -> dict[str, Any]:
    return {"user_id": owner.user_id, "disabled": True}


ANALYTICS = ("GetSummary", "ListAgentStats", "GetTimeseries", "GetCosts")
NAME_AN_OBJECT: dict[str, tuple[str, Foreign, str]] = {
    "ExecutionService.GetExecution": ("EXECUTION_NOT_FOUND", an_execution, "OK"),
    "AuthService.RevokeApiKey": ("API_KEY_NOT_FOUND", an_api_key, "OK"),
    "AuthService.ListApiKeys": ("USER_NOT_FOUND", an_account, "OK"),
    "AuthService.ListSessions": ("USER_NOT_FOUND", an_account, "OK"),
    "AuthService.RevokeSession": ("SESSION_NOT_FOUND", a_session, "OK"),
    "AuthService.RevokeAllSessions": ("USER_NOT_FOUND", all_other_sessions, "OK"),
    "AuthService.UpdateUser": ("POLICY_DENIED", a_disabled_account, "POLICY_DENIED"),
    **{f"AnalyticsService.{rpc}": ("USER_NOT_FOUND", an_account, "OK") for rpc in ANALYTICS},
    "WorkflowService.GetWorkflow": ("WORKFLOW_NOT_FOUND", a_workflow, "OK"),
    "WorkflowService.DeleteWorkflow": ("WORKFLOW_NOT_FOUND", a_workflow, "OK"),
    "WorkflowService.ExecuteWorkflow": ("WORKFLOW_NOT_FOUND", a_workflow, "OK"),
    "WorkflowService.CancelWorkflow": ("WORKFLOW_NOT_FOUND", a_workflow, "WORKFLOW_NOT_RUNNING"),
    "WorkflowService.ListRuns": ("WORKFLOW_NOT_FOUND", a_workflow, "OK"),
    "WorkflowService.GetRun": ("RUN_NOT_FOUND", a_run, "OK"),
    "WorkflowService.WatchRun": ("RUN_NOT_FOUND", a_run, "OK"),
    "WorkflowService.CancelRun": ("RUN_NOT_FOUND", a_finished_run, "RUN_NOT_ACTIVE"),
    "WorkflowService.GetStep": ("RUN_NOT_FOUND", a_step, "OK"),
    "WorkflowService.DecideApproval": ("RUN_NOT_FOUND", a_decision, "APPROVAL_NOT_PENDING"),
}
"""The rpcs that name an object of a user, the reason for another user's object, and the owner's response afterwards."""
NAME_NO_OBJECT = {
    *("AuthService.Register", "AuthService.Login", "AuthService.RefreshToken", "AuthService.Logout", "AuthService.GetCurrentUser"),
    *("AuthService.CreateApiKey", "AuthService.ChangePassword"),
    *("AuthService.CreateUser", "AuthService.ListUsers", "AuthService.ListAuditEntries"),
    *("RegistryService.ListAgents", "RegistryService.GetAgent", "RegistryService.ListCategories", "RegistryService.CheckAgentHealth"),
    "RegistryService.RecommendAgents",
    *("HealthService.GetHealth", "HealthService.GetReadiness"),
    *("ExecutionService.ExecuteAgent", "ExecutionService.StreamAgent", "ExecutionService.ListExecutions"),
    "ExecutionService.EstimateExecution",
    *("WorkflowService.StartAgent", "WorkflowService.ListApprovals"),
    *("WorkflowService.CreateWorkflow", "WorkflowService.ListWorkflows", "EventService.ListEvents", "EventService.WatchEvents"),
}
"""Their requests name no object of a user; the lists among them are tested below."""
RPCS = {rpc.name: rpc for rpc in every_rpc()}


def test_every_rpc_is_in_the_table() -> None:
    """A new rpc is added here before it is published, with whether it names an object."""
    assert sorted([*NAME_AN_OBJECT, *NAME_NO_OBJECT, *NOT_SERVED_YET]) == sorted(RPCS)


@pytest.fixture(scope="module")
async def owner(shared_platform: Platform) -> User:
    return await new_user(shared_platform)


@pytest.fixture(scope="module")
async def other_user(shared_platform: Platform) -> User:
    return await new_user(shared_platform)


@pytest.mark.parametrize("name", NAME_AN_OBJECT)
async def test_another_users_object_is_not_found_and_not_changed(platform: Platform, owner: User, other_user: User, name: str) -> None:
    """The response is the same as for an object that does not exist, and the owner finds the object unchanged."""
    reason, make, own = NAME_AN_OBJECT[name]
    rpc, fields = RPCS[name], await make(platform, owner)
    unknown = {"user_id": UNKNOWN_USER, "step_id": fields.get("step_id")}
    never_was = {field: unknown.get(field, NEVER_WAS) if field.endswith("_id") else value for field, value in fields.items()}
    for channel in platform.anonymous_channels.values():
        assert await called(rpc, channel, other_user, fields) == reason
        assert await called(rpc, channel, other_user, never_was) == reason
    assert await called(rpc, platform.anonymous_channels["orchestrator"], owner, fields) == own


async def called(rpc: ContractRpc, channel: Any, who: User, fields: dict[str, Any]) -> str:
    return await rpc.reason(channel, rpc.request(**fields), list(bearer(who.access_token).items()))


async def test_lists_contain_only_ones_own_objects(platform: Platform, owner: User, other_user: User) -> None:
    execution, key, workflow = [await make(platform, owner) for make in (an_execution, an_api_key, a_workflow)]
    lists = {
        "executions?page_size=200": ("executions", "execution_id", execution["execution_id"]),
        "auth/api-keys": ("api_keys", "api_key_id", key["api_key_id"]),
        "workflows": ("workflows", "workflow_id", workflow["workflow_id"]),
    }
    for path, (name, field, value) in lists.items():
        for who, sees in ((owner, True), (other_user, False)):
            answer = (await platform.anonymous.get(f"/api/v1/{path}", headers=who.headers)).raise_for_status().json()
            assert (value in {one[field] for one in answer[name]}) is sees, path


async def test_events_are_listed_only_for_their_owner(platform: Platform, owner: User, other_user: User) -> None:
    execution_id = (await an_execution(platform, owner))["execution_id"]

    async def event_is_listed(who: User) -> bool:
        answer = await platform.anonymous.get("/api/v1/events?page_size=200", headers=who.headers)
        return execution_id in answer.raise_for_status().text

    assert await eventually(lambda: event_is_listed(owner))
    assert not await event_is_listed(other_user)


async def test_an_administrator_sees_every_execution(platform: Platform, owner: User) -> None:
    """`platform.http` authenticates as the first administrator."""
    execution_id = (await an_execution(platform, owner))["execution_id"]
    assert (await platform.execution(execution_id))["execution_id"] == execution_id
    listed = (await platform.http.get("/api/v1/executions?page_size=200")).json()["executions"]
    assert execution_id in {one["execution_id"] for one in listed}


async def test_two_users_may_use_the_same_idempotency_key(platform: Platform, owner: User, other_user: User) -> None:
    """Keys are separate for each user: the other user's answer is neither returned nor a conflict."""
    key, text = secrets.token_hex(8), question()
    first = (await platform.execute(text, headers=owner.headers, idempotency_key=key)).json()
    second = (await platform.execute(text + " really?", headers=other_user.headers, idempotency_key=key)).json()
    assert first["execution_id"] != second["execution_id"]
