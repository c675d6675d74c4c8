"""`agentmesh executions`: the calls of agents and what they cost."""

from typing import Annotated, Any

import typer

from gateway.cli.application import Limit, Output, examples, group, printer_of, session_of
from gateway.cli.commands.states import state_number, state_option
from gateway.cli.rendering import Column, Format
from gateway.cli.words import moment, money, seconds, state, tokens

app = group("executions", "See the calls of agents and what they cost.")
EXECUTIONS = [
    Column("execution", lambda one: one.execution_id),
    Column("state", lambda one: state(one, "status")),
    Column("agent", lambda one: one.agent_id, grows=True),
    Column("tokens", lambda one: tokens(one.usage), wide=True, right=True),
    Column("cost", lambda one: money(one.usage.cost_micro_usd), right=True),
    Column("created", lambda one: moment(one, "created_at"), wide=True),
]


@app.command("list", epilog=examples("agentmesh executions list --limit 1", "agentmesh executions list --status failed --output csv"))
def list_executions(
    context: typer.Context,
    status: Annotated[str, state_option("ExecutionStatus")] = "",
    agent: Annotated[str, typer.Option("--agent", help="Only calls of this agent.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Only failures with this reason, such as LLM_API_ERROR.")] = "",
    model: Annotated[str, typer.Option("--model", help="Only calls that this model answered.")] = "",
    user: Annotated[int, typer.Option("--user", min=0, help="Only calls of the user with this id; for administrators.")] = 0,
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List calls, the newest first."""
    from agentmesh.execution.v1 import execution_service_pb2 as pb
    from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

    printer, session = printer_of(context, output, lists=True), session_of(context)
    number = state_number("ExecutionStatus", status)
    request = pb.ListExecutionsRequest(status=number, agent_id=agent, reason=reason, model=model, user_id=user)
    answer = session.pages(session.stub(ExecutionServiceStub).ListExecutions, request, "executions", limit)
    printer.items(answer, answer.executions, EXECUTIONS, "No calls.")


@app.command()
def show(
    context: typer.Context,
    execution_id: Annotated[str, typer.Argument(metavar="EXECUTION", help="The id of an execution.")],
    output: Output = Format.TABLE,
) -> None:
    """Show one call: input, answer, tokens, cost, failure."""
    from agentmesh.execution.v1 import execution_service_pb2 as pb
    from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

    printer, session = printer_of(context, output), session_of(context)
    stub = session.stub(ExecutionServiceStub)
    answer = session.ask(stub.GetExecution, pb.GetExecutionRequest(execution_id=execution_id))
    while (got := len(answer.execution.result)) < answer.result_characters:
        more = session.ask(stub.GetExecution, pb.GetExecutionRequest(execution_id=execution_id, result_offset=got))
        if not more.execution.result:
            break
        answer.execution.result += more.execution.result
    printer.fields(answer, _pairs(answer.execution))


def _pairs(one: Any) -> list[tuple[str, Any]]:
    took = (one.finished_at.ToNanoseconds() - one.created_at.ToNanoseconds()) / 1e9 if one.HasField("finished_at") else None
    return [
        ("execution", one.execution_id),
        ("agent", one.agent_id),
        ("state", state(one, "status")),
        ("failure", f"{one.failure.message} [{one.failure.code}]" if one.failure.code else ""),
        ("created", moment(one, "created_at")),
        ("took", seconds(took) if took is not None else ""),
        ("model", one.usage.model),
        ("tokens", f"{tokens(one.usage):,}" if tokens(one.usage) else ""),
        ("cost", f"{money(one.usage.cost_micro_usd)}{' at most' if one.usage.estimated else ''}" if tokens(one.usage) else ""),
        ("run", one.run_id),
        ("request", one.request_id),
        ("input", one.input),
        ("result", one.result),
    ]
