"""Calls of an agent: at once, as a stream, in the background."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.commands.account import read_text
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.rendering import Printer, console, hint
from gateway.cli.session import Session
from gateway.cli.words import money, seconds, state, tokens

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct

MARGIN_SECONDS = 5
"""The platform ends a call at its deadline; the client waits a little longer for that answer."""


Values = Annotated[list[str] | None, typer.Option("--context", "-C", metavar="NAME=VALUE", help="A value of the context; repeatable.")]


@dataclass(frozen=True)
class Call:
    """What to send to an agent."""

    agent_id: str
    input: str
    context: dict[str, Any]
    idempotency_key: str
    seconds: float

    def fields(self) -> dict[str, Any]:
        """The fields that all three requests have."""
        return {
            "agent_id": self.agent_id,
            "input": self.input,
            "context": _struct(self.context) if self.context else None,
            "idempotency_key": self.idempotency_key,
        }


def input_of(text: str) -> str:
    """The input: the text itself, or standard input for `-`."""
    return read_text("-") if text == "-" else text


def context_of(values: Sequence[str], file: str) -> dict[str, Any]:
    """The context: that of the file, and above it the single values, which are JSON if they can be. Raises CliError."""
    context = document_of(file) if file else {}
    if not isinstance(context, dict):
        raise CliError(f"{file} is not an object", 'write it like {"audience": "adults"}', Exit.USAGE)
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise CliError(f"invalid context '{value}'", "write it like --context audience=adults", Exit.USAGE)
        try:
            context[name] = json.loads(text)
        except ValueError:
            context[name] = text
    return context


def document_of(file: str) -> Any:
    """The content of a YAML or JSON file; `-` is standard input. Raises CliError."""
    import yaml

    try:
        return yaml.load(read_text(file), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        place = f" in line {where.line + 1}, column {where.column + 1}" if where else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise CliError(f"{file} is neither YAML nor JSON{place}: {problem}", "correct the file", Exit.USAGE) from None


def execute(session: Session, printer: Printer, call: Call) -> None:
    """Prints the whole answer; what it cost goes to standard error."""
    from agentmesh.execution.v1 import execution_service_pb2 as pb
    from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

    stub, request = session.stub(ExecutionServiceStub), pb.ExecuteAgentRequest(**call.fields())
    with console(errors=True).status(f"{call.agent_id} is working"):
        answer = session.ask(stub.ExecuteAgent, request, call.seconds)
    printer.text(answer, answer.result)
    if not printer.documents:
        hint(_facts(answer.execution_time, answer.usage, answer.facts, answer.execution_id))


def stream(session: Session, printer: Printer, call: Call) -> None:
    """Prints the answer as it grows."""
    import grpc
    from agentmesh.execution.v1 import execution_service_pb2 as pb
    from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

    from gateway.cli.connection import failure

    stub, request = session.stub(ExecutionServiceStub), pb.StreamAgentRequest(**call.fields())
    growing = _Growing(printer)
    try:
        for message in session.follow(stub.StreamAgent, request, call.seconds + MARGIN_SECONDS):
            growing.take(message)
    except grpc.RpcError as error:
        growing.end_line()
        if growing.execution_id:
            hint(f"The stream broke; its execution is recorded: agentmesh executions show {growing.execution_id}")
        raise failure(error, session.server) from None
    if not growing.done:
        advice = f"see `agentmesh executions show {growing.execution_id}`"
        raise CliError("the stream ended without a result", advice, Exit.CALL_FAILED)


class _Growing:
    """The answer of a stream so far."""

    def __init__(self, printer: Printer) -> None:
        self.execution_id = ""
        self.done = False
        self._printer = printer
        self._usage: Any = None
        self._in_line = False

    def take(self, message: Any) -> None:
        """Prints one message. Raises CallFailed if it is the error that ends the stream."""
        from gateway.cli.connection import failure_in_stream

        kind = message.WhichOneof("event")
        if kind == "error":
            self.end_line()
            raise failure_in_stream(message.error)
        if self._printer.documents:
            self._printer.event(message, str)
        elif kind == "delta":
            typer.echo(message.delta.text, nl=False)
            sys.stdout.flush()
            self._in_line = not message.delta.text.endswith("\n")
        if kind == "started":
            self.execution_id = message.started.execution_id
        elif kind == "usage":
            self._usage = message.usage
        elif kind == "done":
            self._finish(message.done)

    def end_line(self) -> None:
        """Ends the line that the answer has begun."""
        if self._in_line:
            typer.echo()
            self._in_line = False

    def _finish(self, done: Any) -> None:
        self.done = True
        self.end_line()
        if not self._printer.documents:
            hint(_facts(done.execution_time, self._usage, done.facts, done.execution_id))


def start(session: Session, printer: Printer, call: Call) -> None:
    """Prints the id of the run."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb
    from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

    request = pb.StartAgentRequest(**call.fields(), timeout_seconds=int(call.seconds))
    answer = session.ask(session.stub(WorkflowServiceStub).StartAgent, request)
    if printer.documents:
        printer.document(answer)
        return
    typer.echo(answer.run.run_id)
    hint(f"Watch it: agentmesh runs watch {answer.run.run_id}")


def complete_agent(context: typer.Context, incomplete: str) -> list[str]:
    """The ids of agents that begin with what was typed; none if the platform cannot be asked."""
    from gateway.cli.commands.completion import agents

    return agents(context, incomplete)


def _facts(took: float, usage: Any, facts: Any, execution_id: str) -> str:
    parts = [seconds(took)]
    if usage is not None:
        parts += [f"{tokens(usage):,} tokens", f"{'about ' if usage.estimated else ''}{money(usage.cost_micro_usd)}", usage.model]
    stopped = state(facts, "stop_reason")
    if stopped not in ("", "end turn"):
        parts.append(f"stopped: {stopped}")
    if facts.provider == "simulator":
        parts.append("answered by the simulator")
    return typer.style(" · ".join([*parts, f"execution {execution_id}"]), dim=True)


def _struct(values: dict[str, Any]) -> "Struct":
    from google.protobuf.struct_pb2 import Struct

    struct = Struct()
    try:
        struct.update(values)
    except ValueError as error:
        raise CliError(
            f"the context has a value that JSON cannot represent: {error}", "use texts, numbers, lists and objects", Exit.USAGE
        ) from None
    return struct
