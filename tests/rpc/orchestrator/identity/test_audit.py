"""The audit log records what an administrator does to objects of other users."""

from typing import Any

from agentmesh.workflow.v1 import workflow_pb2 as wf
from agentmesh.workflow.v1 import workflow_service_pb2 as pb
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from tests.adapters.orchestrator.looking import Connection
from tests.rpc.orchestrator.identity.conftest import Person
from tests.support.credentials import authorized
from tests.support.waiting import eventually

AGENT = "marketing_seo_strategist_agent_1_1"


def workflows(person: Person) -> Any:
    return WorkflowServiceStub(authorized(person.channel, person.tokens.access_token))


async def waiting_run(person: Person) -> Any:
    """A run of this person that waits for an approval."""
    task = wf.Task(id="a", agent_id=AGENT, input="Do it.", approval=wf.Approval(message="Go?"))
    made = (await workflows(person).CreateWorkflow(pb.CreateWorkflowRequest(name="Launch", tasks=[task]))).workflow
    return (await workflows(person).ExecuteWorkflow(pb.ExecuteWorkflowRequest(workflow_id=made.workflow_id))).run


async def test_an_administrators_decisions_cancellations_and_deletions_for_others_are_audited(
    ada: Person, admin: Person, db: Connection
) -> None:
    run = await waiting_run(ada)
    decide = pb.DecideApprovalRequest(run_id=run.run_id, step_id="a", decision=wf.APPROVAL_DECISION_APPROVED)
    await workflows(admin).DecideApproval(decide)
    await workflows(admin).CancelWorkflow(pb.CancelWorkflowRequest(workflow_id=run.workflow_id))
    await workflows(admin).DeleteWorkflow(pb.DeleteWorkflowRequest(workflow_id=run.workflow_id))
    rows: list[Any] = []

    async def audited() -> bool:
        select = "SELECT subject, ip, details ->> 'owner_id' AS owner FROM audit_log WHERE actor_id = $1 AND action = 'object.administered'"
        rows[:] = await db.fetch(f"{select} ORDER BY id", admin.user_id)
        return len(rows) == 3

    await eventually(audited)
    assert [row["subject"] for row in rows] == [
        f"decide step:a of run:{run.run_id}: approved",
        f"cancel run:{run.run_id}",
        f"delete workflow:{run.workflow_id}",
    ]
    assert {(row["ip"], row["owner"]) for row in rows} == {("127.0.0.1", str(ada.user_id))}


async def test_actions_on_ones_own_objects_are_not_audited(ada: Person, admin: Person, db: Connection) -> None:
    for person in (ada, admin):
        run = await waiting_run(person)
        await workflows(person).CancelWorkflow(pb.CancelWorkflowRequest(workflow_id=run.workflow_id))
        await workflows(person).DeleteWorkflow(pb.DeleteWorkflowRequest(workflow_id=run.workflow_id))
    other = await waiting_run(ada)
    await workflows(admin).CancelWorkflow(pb.CancelWorkflowRequest(workflow_id=other.workflow_id))

    found: list[Any] = []

    async def audited() -> bool:
        select = "SELECT subject FROM audit_log WHERE actor_id = ANY($1) AND action = 'object.administered'"
        found[:] = await db.fetch(select, [ada.user_id, admin.user_id])
        return bool(found)

    await eventually(audited)
    assert [row["subject"] for row in found] == [f"cancel run:{other.run_id}"]
