"""`agentmesh runs`: executions of workflows, and agents in the background."""

from typing import Annotated, Any

import typer

from gateway.cli.application import Limit, Output, RunId, examples, group, printer_of, session_of
from gateway.cli.commands.run_view import watch as watch_run
from gateway.cli.commands.states import state_number, state_option
from gateway.cli.rendering import Column, Format
from gateway.cli.words import moment, money, one_line, state

app = group("runs", "Follow and cancel runs of workflows and of agents in the background.")
RUNS = [
    Column("run", lambda run: run.run_id),
    Column("state", lambda run: state(run, "status")),
    Column("of", lambda run: run.workflow_id or run.agent_id, grows=True),
    Column("created", lambda run: moment(run, "created_at"), wide=True),
]


def _stub(session: Any) -> Any:
    from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

    return session.stub(WorkflowServiceStub)


def run_pairs(run: Any) -> list[tuple[str, Any]]:
    """The fields of a run, as they are shown."""
    return [
        ("run", run.run_id),
        ("workflow", run.workflow_id),
        ("agent", run.agent_id),
        ("state", state(run, "status")),
        ("failure", f"{run.failure.message} [{run.failure.code}]" if run.failure.code else ""),
        ("created", moment(run, "created_at")),
        ("finished", moment(run, "finished_at")),
        *((f"step {step.task_id}", _step(step)) for step in run.steps),
        *((f"stopped {step.task_id}", money(step.usage.cost_micro_usd)) for step in run.cancellation.stopped_steps),
    ]


@app.command("list", epilog=examples("agentmesh runs list --status waiting-approval"))
def list_runs(
    context: typer.Context,
    status: Annotated[str, state_option("RunStatus")] = "",
    agent: Annotated[str, typer.Option("--agent", help="Only runs of this agent in the background.")] = "",
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List all runs, the newest first."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output, lists=True), session_of(context)
    request = pb.ListRunsRequest(status=state_number("RunStatus", status), agent_id=agent)
    answer = session.pages(_stub(session).ListRuns, request, "runs", limit)
    printer.items(answer, answer.runs, RUNS, "No runs.")


@app.command()
def show(context: typer.Context, run_id: RunId, output: Output = Format.TABLE) -> None:
    """Show a run with its steps, attempts and costs."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(_stub(session).GetRun, pb.GetRunRequest(run_id=run_id))
    printer.fields(answer, run_pairs(answer.run))


@app.command(epilog=examples("agentmesh runs watch RUN", "agentmesh runs watch RUN --output json | jq -c .step.step.status"))
def watch(
    context: typer.Context,
    run_id: RunId,
    after: Annotated[int, typer.Option("--after", min=0, help="Only changes after this sequence.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """Follow a run to its end; continues after a broken connection."""
    watch_run(session_of(context), printer_of(context, output), run_id, after)


@app.command()
def cancel(context: typer.Context, run_id: RunId, output: Output = Format.TABLE) -> None:
    """Cancel a run."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(_stub(session).CancelRun, pb.CancelRunRequest(run_id=run_id))
    printer.fields(answer, run_pairs(answer.run))


@app.command(epilog=examples("agentmesh runs result RUN            # of an agent in the background", "agentmesh runs result RUN post"))
def result(
    context: typer.Context,
    run_id: RunId,
    step_id: Annotated[str, typer.Argument(metavar="[STEP]", help="The step; an agent in the background has the step `agent`.")] = "agent",
    output: Output = Format.TABLE,
) -> None:
    """Print the whole answer of a step."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(_stub(session).GetStep, pb.GetStepRequest(run_id=run_id, step_id=step_id))
    while (got := len(answer.step.result)) < answer.result_characters:
        more = session.ask(_stub(session).GetStep, pb.GetStepRequest(run_id=run_id, step_id=step_id, result_offset=got))
        if not more.step.result:
            break
        answer.step.result += more.step.result
    printer.text(answer, answer.step.result)


def _step(step: Any) -> str:
    attempts = f", {step.attempts} attempts" if step.attempts > 1 else ""
    cost = f", {money(step.usage.cost_micro_usd)}" if step.usage.cost_micro_usd else ""
    why = f": {one_line(step.failure.message)}" if step.failure.message else ""
    return f"{state(step, 'status')}{attempts}{cost}{why}"
