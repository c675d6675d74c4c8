"""`agentmesh workflows`: create, check, run, watch and cancel graphs of tasks."""

import uuid
from typing import Annotated, Any

import typer

from gateway.cli.application import Key, Limit, Output, examples, group, printer_of, session_of
from gateway.cli.commands.calling import document_of
from gateway.cli.commands.run_view import watch as watch_run
from gateway.cli.commands.runs import RUNS, run_pairs
from gateway.cli.commands.states import state_option
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.rendering import Column, Format, hint
from gateway.cli.words import moment, state

app = group("workflows", "Create, check, run, watch and cancel workflows.")
WorkflowId = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The id of a workflow.")]
File = Annotated[str, typer.Option("--file", "-f", help="The workflow as YAML or JSON; - is standard input.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow the run to its end.")]
WORKFLOWS = [
    Column("workflow", lambda workflow: workflow.workflow_id),
    Column("name", lambda workflow: workflow.name, grows=True),
    Column("state", lambda workflow: state(workflow, "status")),
    Column("tasks", lambda workflow: workflow.task_count or len(workflow.tasks), right=True),
    Column("created", lambda workflow: moment(workflow, "created_at"), wide=True),
]


def _stub(session: Any) -> Any:
    from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

    return session.stub(WorkflowServiceStub)


def request_from(file: str) -> Any:
    """The request that a file describes. Raises CliError, with the place in the file, if it does not have the form of a workflow."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb
    from google.protobuf.json_format import ParseDict, ParseError

    content = document_of(file)
    if not isinstance(content, dict):
        raise CliError(f"{file} is not a workflow", "write an object with `name` and `tasks`; see docs/cli.md", Exit.USAGE)
    try:
        return ParseDict(content, pb.CreateWorkflowRequest())
    except ParseError as error:
        raise CliError(f"{file} is not a workflow: {error}", "correct the file", Exit.INVALID) from None


@app.command(
    epilog=examples(
        "agentmesh workflows create -f bikes.yaml",
        "agentmesh workflows create -f bikes.yaml --run",
    )
)
def create(
    context: typer.Context,
    file: File,
    start: Annotated[bool, typer.Option("--run", help="Also run it, and follow the run to its end.")] = False,
    key: Key = "",
    output: Output = Format.TABLE,
) -> None:
    """Create a workflow from a file, and print its id."""
    printer, session = printer_of(context, output), session_of(context)
    request = request_from(file)
    request.idempotency_key = key or request.idempotency_key or str(uuid.uuid4())
    answer = session.ask(_stub(session).CreateWorkflow, request)
    workflow_id = answer.workflow.workflow_id
    if printer.documents:
        printer.document(answer)
    else:
        typer.echo(workflow_id)
    if start:
        _run(context, workflow_id, True, "", output)
    elif not printer.documents:
        hint(f"Run it: agentmesh workflows run {workflow_id} --watch")


@app.command(epilog=examples("agentmesh workflows validate -f bikes.yaml"))
def validate(context: typer.Context, file: File, output: Output = Format.TABLE) -> None:
    """Check a workflow by the platform's own rules, and name every problem.

    The workflow is created and deleted again; nothing runs.
    """
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    request = request_from(file)
    stub = _stub(session)
    answer = session.ask(stub.CreateWorkflow, request)
    session.ask(stub.DeleteWorkflow, pb.DeleteWorkflowRequest(workflow_id=answer.workflow.workflow_id))
    if printer.documents:
        printer.document({"valid": True, "tasks": len(request.tasks)})
    else:
        hint(f"{file} is valid: {len(request.tasks)} tasks.")


@app.command("list")
def list_workflows(
    context: typer.Context,
    status: Annotated[str, state_option("WorkflowStatus")] = "",
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List your workflows, the newest first."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    from gateway.cli.commands.states import state_number

    printer, session = printer_of(context, output, lists=True), session_of(context)
    number = state_number("WorkflowStatus", status)
    answer = session.pages(_stub(session).ListWorkflows, pb.ListWorkflowsRequest(status=number), "workflows", limit)
    printer.items(answer, answer.workflows, WORKFLOWS, "No workflows: create one with `agentmesh workflows create -f FILE`.")


@app.command()
def show(context: typer.Context, workflow_id: WorkflowId, output: Output = Format.TABLE) -> None:
    """Show a workflow, its tasks and the results of its last run."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(_stub(session).GetWorkflow, pb.GetWorkflowRequest(workflow_id=workflow_id))
    workflow = answer.workflow
    pairs = [
        ("workflow", workflow.workflow_id),
        ("name", workflow.name),
        ("state", state(workflow, "status")),
        ("last run", workflow.latest_run_id),
        ("created", moment(workflow, "created_at")),
        *((f"task {task.id}", f"{task.agent_id}{_after(task)}") for task in workflow.tasks),
        *((f"result {result.task_id}", result.result) for result in workflow.results),
    ]
    printer.fields(answer, pairs)


@app.command(epilog=examples("agentmesh workflows run WORKFLOW --watch", "agentmesh workflows run WORKFLOW --watch --output json"))
def run(context: typer.Context, workflow_id: WorkflowId, watch: Watch = False, key: Key = "", output: Output = Format.TABLE) -> None:
    """Start a run, and print its id."""
    _run(context, workflow_id, watch, key, output)


def _run(context: typer.Context, workflow_id: str, watch: bool, key: str, output: Format) -> None:
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    request = pb.ExecuteWorkflowRequest(workflow_id=workflow_id, idempotency_key=key or str(uuid.uuid4()))
    answer = session.ask(_stub(session).ExecuteWorkflow, request)
    if watch:
        watch_run(session, printer, answer.run.run_id)
    elif printer.documents:
        printer.document(answer)
    else:
        typer.echo(answer.run.run_id)
        hint(f"Watch it: agentmesh runs watch {answer.run.run_id}")


@app.command(epilog=examples("agentmesh workflows watch WORKFLOW"))
def watch(context: typer.Context, workflow_id: WorkflowId, output: Output = Format.TABLE) -> None:
    """Follow the last run of a workflow to its end."""
    from agentmesh.workflow.v1 import workflow_pb2
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    request = pb.GetWorkflowRequest(workflow_id=workflow_id, view=workflow_pb2.VIEW_BASIC)
    workflow = session.ask(_stub(session).GetWorkflow, request).workflow
    if not workflow.latest_run_id:
        raise CliError(f"the workflow {workflow_id} has no run", f"start one with `agentmesh workflows run {workflow_id}`", Exit.CONFLICT)
    watch_run(session, printer, workflow.latest_run_id)


@app.command()
def cancel(context: typer.Context, workflow_id: WorkflowId, output: Output = Format.TABLE) -> None:
    """Cancel the active run of a workflow."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(_stub(session).CancelWorkflow, pb.CancelWorkflowRequest(workflow_id=workflow_id))
    printer.fields(answer, run_pairs(answer.run))


@app.command()
def delete(context: typer.Context, workflow_id: WorkflowId) -> None:
    """Delete a workflow with its runs."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    session = session_of(context)
    session.ask(_stub(session).DeleteWorkflow, pb.DeleteWorkflowRequest(workflow_id=workflow_id))


@app.command()
def runs(context: typer.Context, workflow_id: WorkflowId, limit: Limit = 50, output: Output = Format.TABLE) -> None:
    """List the runs of a workflow, the newest first."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output, lists=True), session_of(context)
    answer = session.pages(_stub(session).ListRuns, pb.ListRunsRequest(workflow_id=workflow_id), "runs", limit)
    printer.items(answer, answer.runs, RUNS, "No runs yet: start one with `agentmesh workflows run`.")


def _after(task: Any) -> str:
    return f", after {', '.join(task.depends_on)}" if task.depends_on else ""
