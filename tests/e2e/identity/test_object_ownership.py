"""What belongs to one user is not there for another: a table of every rpc of the contract, by name."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agentmesh.workflow.v1 import workflow_pb2

from tests.e2e.identity.contract_rpcs import NOT_SERVED_YET, ContractRpc, every_rpc
from tests.e2e.people import Person, logged_in, new_key, new_person
from tests.e2e.platform import Platform, question
from tests.e2e.workflows import task
from tests.support.credentials import bearer
from tests.support.waiting import eventually

NOBODY = 2**31 - 1
NEVER_WAS = "01900000-0000-7000-8000-000000000000"
Foreign = Callable[[Platform, Person], Awaitable[dict[str, Any]]]


async def an_execution(platform: Platform, owner: Person) -> dict[str, Any]:
    answer = await platform.execute(question(), headers=owner.headers)
    return {"execution_id": answer.raise_for_status().json()["execution_id"]}


async def an_api_key(platform: Platform, owner: Person) -> dict[str, Any]:
    return {"api_key_id": (await new_key(platform, owner))[0]}


async def a_workflow(platform: Platform, owner: Person) -> dict[str, Any]:
    body = {"name": "Mine", "tasks": [task("only")]}
    answer = await platform.anonymous.post("/api/v1/workflows", json=body, headers=owner.headers)
    return {"workflow_id": answer.raise_for_status().json()["workflow"]["workflow_id"]}


async def a_run(platform: Platform, owner: Person) -> dict[str, Any]:
    workflow_id = (await a_workflow(platform, owner))["workflow_id"]
    answer = await platform.anonymous.post(f"/api/v1/workflows/{workflow_id}/execute", json={}, headers=owner.headers)
    return {"run_id": answer.raise_for_status().json()["run"]["run_id"]}


async def a_finished_run(platform: Platform, owner: Person) -> dict[str, Any]:
    run = await a_run(platform, owner)

    async def finished() -> bool:
        answer = await platform.anonymous.get(f"/api/v1/runs/{run['run_id']}", headers=owner.headers)
        return bool(answer.raise_for_status().json()["run"]["status"] == "RUN_STATUS_COMPLETED")

    await eventually(finished)
    return run


async def a_step(platform: Platform, owner: Person) -> dict[str, Any]:
    return {**await a_run(platform, owner), "step_id": "only"}


async def a_decision(platform: Platform, owner: Person) -> dict[str, Any]:
    return {**await a_run(platform, owner), "step_id": "only", "decision": workflow_pb2.APPROVAL_DECISION_APPROVED}


async def a_session(platform: Platform, owner: Person) -> dict[str, Any]:
    await logged_in(platform, owner.user_id, owner.username, owner.password)
    answer = await platform.anonymous.get("/api/v1/auth/sessions?page_size=1", headers=owner.headers)
    return {"session_id": answer.raise_for_status().json()["sessions"][0]["session_id"]}


async def an_account(platform: Platform, owner: Person) -> dict[str, Any]:
    return {"user_id": owner.user_id}


async def all_other_sessions(platform: Platform, owner: Person) -> dict[str, Any]:
    return {"user_id": owner.user_id, "keep_current": True}


async def a_disabled_account(platform: Platform, owner: Person) -> dict[str, Any]:
    return {"user_id": owner.user_id, "disabled": True}


FOREIGN: dict[str, tuple[str, Foreign, str]] = {
    "ExecutionService.GetExecution": ("EXECUTION_NOT_FOUND", an_execution, "OK"),
    "AuthService.RevokeApiKey": ("API_KEY_NOT_FOUND", an_api_key, "OK"),
    "AuthService.ListApiKeys": ("USER_NOT_FOUND", an_account, "OK"),
    "AuthService.ListSessions": ("USER_NOT_FOUND", an_account, "OK"),
    "AuthService.RevokeSession": ("SESSION_NOT_FOUND", a_session, "OK"),
    "AuthService.RevokeAllSessions": ("USER_NOT_FOUND", all_other_sessions, "OK"),
    "AuthService.UpdateUser": ("POLICY_DENIED", a_disabled_account, "POLICY_DENIED"),
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
"""The rpcs that name an object of a user's, what they say of another's, and what its owner is answered afterwards."""
NAME_NO_OBJECT = {
    *("AuthService.Register", "AuthService.Login", "AuthService.RefreshToken", "AuthService.Logout", "AuthService.GetCurrentUser"),
    *("AuthService.CreateApiKey", "AuthService.ChangePassword"),
    *("AuthService.CreateUser", "AuthService.ListUsers", "AuthService.ListAuditEntries"),
    *("RegistryService.ListAgents", "RegistryService.GetAgent", "RegistryService.ListCategories", "RegistryService.CheckAgentHealth"),
    *("HealthService.GetHealth", "HealthService.GetReadiness"),
    *("ExecutionService.ExecuteAgent", "ExecutionService.StreamAgent", "ExecutionService.ListExecutions"),
    *("WorkflowService.StartAgent", "WorkflowService.ListApprovals"),
    *("WorkflowService.CreateWorkflow", "WorkflowService.ListWorkflows", "EventService.ListEvents", "EventService.WatchEvents"),
}
"""Nothing in their requests is a user's; what the lists among them show is tested below."""
RPCS = {rpc.name: rpc for rpc in every_rpc()}


def test_no_rpc_is_forgotten() -> None:
    """A new rpc says here whether it names an object, before it is published."""
    assert sorted([*FOREIGN, *NAME_NO_OBJECT, *NOT_SERVED_YET]) == sorted(RPCS)


@pytest.fixture(scope="module")
async def owner(shared_platform: Platform) -> Person:
    return await new_person(shared_platform)


@pytest.fixture(scope="module")
async def stranger(shared_platform: Platform) -> Person:
    return await new_person(shared_platform)


@pytest.mark.parametrize("name", FOREIGN)
async def test_a_foreign_object_is_not_found_and_changed_by_nobody(platform: Platform, owner: Person, stranger: Person, name: str) -> None:
    """The same answer as for one that never was; and its owner finds it as it was."""
    reason, make, own = FOREIGN[name]
    rpc, fields = RPCS[name], await make(platform, owner)
    nobody = {"user_id": NOBODY, "step_id": fields.get("step_id")}
    never_was = {field: nobody.get(field, NEVER_WAS) if field.endswith("_id") else value for field, value in fields.items()}
    for door in platform.doors.values():
        assert await called(rpc, door, stranger, fields) == reason
        assert await called(rpc, door, stranger, never_was) == reason
    assert await called(rpc, platform.doors["orchestrator"], owner, fields) == own


async def called(rpc: ContractRpc, door: Any, who: Person, fields: dict[str, Any]) -> str:
    return await rpc.reason(door, rpc.request(**fields), list(bearer(who.access_token).items()))


async def test_lists_hold_ones_own_and_no_others(platform: Platform, owner: Person, stranger: Person) -> None:
    execution, key, workflow = [await make(platform, owner) for make in (an_execution, an_api_key, a_workflow)]
    lists = {
        "executions?page_size=200": ("executions", "execution_id", execution["execution_id"]),
        "auth/api-keys": ("api_keys", "api_key_id", key["api_key_id"]),
        "workflows": ("workflows", "workflow_id", workflow["workflow_id"]),
    }
    for path, (name, field, value) in lists.items():
        for who, sees in ((owner, True), (stranger, False)):
            answer = (await platform.anonymous.get(f"/api/v1/{path}", headers=who.headers)).raise_for_status().json()
            assert (value in {one[field] for one in answer[name]}) is sees, path


async def test_events_are_told_to_those_whom_they_concern(platform: Platform, owner: Person, stranger: Person) -> None:
    execution_id = (await an_execution(platform, owner))["execution_id"]

    async def told(who: Person) -> bool:
        answer = await platform.anonymous.get("/api/v1/events?page_size=200", headers=who.headers)
        return execution_id in answer.raise_for_status().text

    assert await eventually(lambda: told(owner))
    assert not await told(stranger)


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
