"""`agentmesh approvals`: decide on the steps that wait for you."""

from typing import Annotated, Any

import typer

from gateway.cli.application import Limit, Output, RunId, examples, group, printer_of, session_of
from gateway.cli.commands.runs import run_pairs
from gateway.cli.rendering import Column, Format
from gateway.cli.words import moment

app = group("approvals", "Decide on the steps that wait for you.")
StepId = Annotated[str, typer.Argument(metavar="STEP", help="The id of the step.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded with the decision.")]
APPROVALS = [
    Column("run", lambda one: one.run_id),
    Column("step", lambda one: one.step_id),
    Column("message", lambda one: one.approval.message, grows=True),
    Column("expires", lambda one: moment(one.approval, "expires_at")),
    Column("workflow", lambda one: one.workflow_name, wide=True),
]


@app.command("list")
def list_approvals(
    context: typer.Context,
    all_users: Annotated[bool, typer.Option("--all-users", help="Of all users; for administrators.")] = False,
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List the steps that wait for a decision, the most urgent first."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb
    from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

    printer, session = printer_of(context, output, lists=True), session_of(context)
    request = pb.ListApprovalsRequest(all_users=all_users)
    answer = session.pages(session.stub(WorkflowServiceStub).ListApprovals, request, "approvals", limit)
    printer.items(answer, answer.approvals, APPROVALS, "Nothing waits for your decision.")


@app.command(epilog=examples("agentmesh approvals approve RUN post --reason yes"))
def approve(context: typer.Context, run_id: RunId, step_id: StepId, reason: Reason = "", output: Output = Format.TABLE) -> None:
    """Let a step run."""
    _decide(context, run_id, step_id, True, reason, output)


@app.command(epilog=examples('agentmesh approvals reject RUN post --reason "The plan misses the budget"'))
def reject(context: typer.Context, run_id: RunId, step_id: StepId, reason: Reason = "", output: Output = Format.TABLE) -> None:
    """Refuse a step; its run fails."""
    _decide(context, run_id, step_id, False, reason, output)


def _decide(context: typer.Context, run_id: str, step_id: str, approved: bool, reason: str, output: Format) -> None:
    from agentmesh.workflow.v1 import workflow_pb2
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb
    from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

    printer, session = printer_of(context, output), session_of(context)
    decision: Any = workflow_pb2.APPROVAL_DECISION_APPROVED if approved else workflow_pb2.APPROVAL_DECISION_REJECTED
    request = pb.DecideApprovalRequest(run_id=run_id, step_id=step_id, decision=decision, reason=reason)
    answer = session.ask(session.stub(WorkflowServiceStub).DecideApproval, request)
    printer.fields(answer, run_pairs(answer.run))
