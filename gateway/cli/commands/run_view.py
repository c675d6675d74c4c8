"""How a watched run looks: a table that changes on a terminal, a line for each change elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.rendering import Printer, console, hint, state_style
from gateway.cli.session import Session
from gateway.cli.watching import resumed
from gateway.cli.words import local, money, one_line, seconds, state, tokens
from mesh.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

TAIL_CHARACTERS = 60
"""How much of a growing answer is shown: its end, which changes."""
HEAD_CHARACTERS = 300
"""How much of a whole answer is shown."""


@dataclass
class RunView:
    """The run as far as its changes have been seen, and the cursor to resume after them."""

    run_id: str
    after: int = 0
    status: str = ""
    run: Any = None
    steps: dict[str, Any] = field(default_factory=dict)
    live_execution_id: str = ""
    live_offset: int = 0
    live_text: str = ""

    def take(self, message: Any) -> None:
        """Applies one message of the watch."""
        self.after = max(self.after, message.sequence)
        kind = message.WhichOneof("event")
        if kind == "run":
            self.run, self.status = message.run.run, state(message.run.run, "status")
        elif kind == "step":
            self.steps[message.step.step.task_id] = message.step.step
        elif kind == "live":
            text = message.live.text
            fresh = message.live.execution_id != self.live_execution_id
            self.live_text = ("" if fresh else self.live_text) + text.text
            self.live_execution_id, self.live_offset = message.live.execution_id, text.next_offset
        elif kind == "done":
            self.status = state(message.done, "status")

    def line(self, message: Any) -> str:
        """The change as one line; empty for a message that is none."""
        now = local(SYSTEM_CLOCK.time())
        kind = message.WhichOneof("event")
        if kind == "run":
            return f"{now}\trun\t{state(message.run.run, 'status')}"
        if kind != "step":
            return ""
        step = message.step.step
        facts = [f"attempt {step.attempts}" if step.attempts > 1 else "", _cost(step), one_line(step.failure.message)]
        return "\t".join([now, step.task_id, state(step, "status"), *filter(None, facts)])

    def table(self) -> "Table":
        """The steps, for a terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True)
        for title in ("STEP", "STATE", "TIME", "COST"):
            table.add_column(title, no_wrap=True)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for step in self.steps.values():
            name = state(step, "status")
            growing = self.live_text if step.execution_id and step.execution_id == self.live_execution_id else ""
            about = step.failure.message or (growing[-TAIL_CHARACTERS:] if name == "running" else "") or step.result[:HEAD_CHARACTERS]
            about = step.approval.message if name == "waiting approval" else about
            table.add_row(step.task_id, Text(name, style=state_style(name)), _time(step), _cost(step), Text(one_line(about)))
        return table


def watch(session: Session, printer: Printer, run_id: str, after: int = 0) -> None:
    """Follows a run to its end. Raises CliError, with the exit code RUN_FAILED, unless it completes."""
    from agentmesh.workflow.v1 import workflow_service_pb2 as pb
    from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

    stub, view = session.stub(WorkflowServiceStub), RunView(run_id, after)

    def open_stream() -> Iterator[Any]:
        request = pb.WatchRunRequest(
            run_id=run_id, after_sequence=view.after, live_execution_id=view.live_execution_id, live_offset=view.live_offset
        )
        return session.follow(stub.WatchRun, request)

    with _screen(printer) as live:
        asked: set[str] = set()
        for message in resumed(session, open_stream, lambda message: message.WhichOneof("event") == "done"):
            view.take(message)
            if live is None:
                printer.event(message, partial(view.line, message))
            else:
                live.update(view.table())
            if not printer.documents:
                _ask_for_decisions(view, asked)
    _finish(session, printer, view)


@contextmanager
def _screen(printer: Printer) -> "Iterator[Live | None]":
    if printer.documents or not printer.terminal:
        yield None
        return
    from rich.live import Live

    with Live(console=console(), refresh_per_second=8) as live:
        yield live


def _ask_for_decisions(view: RunView, asked: set[str]) -> None:
    for step in view.steps.values():
        if state(step, "status") == "waiting approval" and step.task_id not in asked:
            asked.add(step.task_id)
            hint(f"The step '{step.task_id}' waits for you: agentmesh approvals approve {view.run_id} {step.task_id}")


def _finish(session: Session, printer: Printer, view: RunView) -> None:
    if not printer.documents:
        spent = sum(step.usage.cost_micro_usd for step in view.steps.values())
        hint(typer.style(f"run {view.run_id} {view.status} · {money(spent)}", dim=True))
    if view.status == "completed":
        return
    failure = view.run.failure if view.run is not None else None
    why = f": {failure.message} [{failure.code}]" if failure is not None and failure.code else ""
    raise CliError(f"the run {view.run_id} {view.status}{why}", f"see `agentmesh runs show {view.run_id}`", Exit.RUN_FAILED)


def _time(step: Any) -> str:
    if not step.HasField("started_at"):
        return ""
    end = step.finished_at.ToNanoseconds() / 1e9 if step.HasField("finished_at") else SYSTEM_CLOCK.time()
    return seconds(max(0.0, end - step.started_at.ToNanoseconds() / 1e9))


def _cost(step: Any) -> str:
    return money(step.usage.cost_micro_usd) if tokens(step.usage) else ""
