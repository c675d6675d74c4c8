"""What the platform has recorded about runs, and where it contradicts itself, its executions or its clients."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

Row = Mapping[str, Any]
COMPLETED = "completed"
FINAL = ("completed", "failed", "cancelled")


@dataclass(slots=True)
class Start:
    """A run that a client requests under one idempotency key, as the client remembers it."""

    key: str
    workflow_id: str = ""
    request_ids: list[str] = field(default_factory=list)
    run_id: str = ""
    """Empty until the platform has answered."""


@dataclass(frozen=True, slots=True)
class StepChange:
    """A change of one step."""

    task_id: str
    state: str
    at: float


@dataclass(frozen=True, slots=True)
class RunBook:
    """A run with all its changes and events. `at` of a change is in seconds since the epoch."""

    row: Row
    steps: Sequence[Row]
    sequences: Sequence[int]
    states: Sequence[str]
    """The states of the run itself, in order."""
    changes: Sequence[StepChange]
    events: Counter[str]
    """The number of events by type."""


async def read_runs(connection: "asyncpg.Connection[asyncpg.Record]") -> Mapping[str, RunBook]:
    """Every run in the books."""
    steps, changes = defaultdict(list), defaultdict(list)
    events: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in await connection.fetch("SELECT * FROM steps ORDER BY run_id, position"):
        steps[row["run_id"]].append(dict(row))
    reported = (
        "SELECT run_id, sequence, kind, payload, extract(epoch FROM occurred_at)::float8 AS at FROM run_events ORDER BY run_id, sequence"
    )
    for row in await connection.fetch(reported):
        changes[row["run_id"]].append({**row, "payload": json.loads(row["payload"])})
    emitted = "SELECT event_type, data ->> 'run_id' AS run_id FROM outbox WHERE event_type LIKE 'workflow.%'"
    for row in await connection.fetch(emitted):
        events[row["run_id"]][row["event_type"]] += 1
    runs = await connection.fetch("SELECT * FROM runs ORDER BY run_id")
    return {str(row["run_id"]): _book(dict(row), steps[row["run_id"]], changes[row["run_id"]], events[str(row["run_id"])]) for row in runs}


def _book(row: Row, steps: Sequence[Row], changes: Sequence[Row], events: Counter[str]) -> RunBook:
    return RunBook(
        row,
        steps,
        [change["sequence"] for change in changes],
        [change["payload"]["state"] for change in changes if change["kind"] == "run"],
        [
            StepChange(change["payload"]["task_id"], change["payload"]["state"], change["at"])
            for change in changes
            if change["kind"] == "step"
        ],
        events,
    )


def run_problems(runs: Mapping[str, RunBook], executions: Sequence[Row], starts: Sequence[Start]) -> Iterator[str]:
    """Every discrepancy, described in words."""
    bought = defaultdict(list)
    for row in executions:
        if row["run_id"] is not None:
            bought[str(row["run_id"]), row["task_id"]].append(row)
    known = {(run_id, step["task_id"]) for run_id, book in runs.items() for step in book.steps}
    for run_id, task_id in bought.keys() - known:
        yield f"run {run_id} has no step {task_id}, and {len(bought[run_id, task_id])} executions are for it"
    for run_id, book in runs.items():
        for problem in (*_change_problems(book), *_event_problems(book)):
            yield f"run {run_id} ({book.row['status']}) {problem}"
        for step in book.steps:
            for problem in _step_problems(book, step, bought[run_id, step["task_id"]]):
                yield f"step {step['task_id']} ({step['status']}) of run {run_id} {problem}"
    yield from _start_problems(runs, starts)


def _change_problems(book: RunBook) -> Iterator[str]:
    if book.row["status"] not in FINAL:
        yield "has not ended"
    if list(book.sequences) != list(range(1, book.row["sequence"] + 1)):
        yield f"has the sequences {book.sequences}, and says {book.row['sequence']}"
    ends = [state for state in book.states if state in FINAL]
    if ends != [book.row["status"]] or book.states[-1] != book.row["status"]:
        yield f"reported the states {book.states}"
    ended: set[str] = set()
    for change in book.changes:
        if change.task_id in ended:
            yield f"has step {change.task_id}, which is {change.state} after its end"
        if change.state in FINAL:
            ended.add(change.task_id)


def _event_problems(book: RunBook) -> Iterator[str]:
    expected = Counter({"workflow.started": 1, f"workflow.{book.row['status']}": 1})
    reported = Counter({kind: count for kind, count in book.events.items() if kind != "workflow.approval_requested"})
    if reported != expected:
        yield f"has the events {dict(reported)}"


def _step_problems(book: RunBook, step: Row, executions: Sequence[Row]) -> Iterator[str]:
    completions = sum(change.state == COMPLETED for change in book.changes if change.task_id == step["task_id"])
    if completions != (step["status"] == COMPLETED):
        yield f"was completed {completions} times"
    recorded = [row for row in executions if row["status"] == COMPLETED]
    if len(recorded) > 1:
        yield f"has {len(recorded)} recorded answers: one would have been enough"
    if any(row["request_id"] != book.row["request_id"] for row in executions):
        yield "was bought under another request id than its run's"
    if step["status"] != COMPLETED:
        return
    if [(row["execution_id"], row["result"]) for row in recorded] != [(step["execution_id"], step["result"])]:
        yield f"has the answer of execution {step['execution_id']}; recorded are {[str(row['execution_id']) for row in recorded]}"
    paid = sum(row["cost_micro_usd"] for row in executions)
    booked = json.loads(step["bill"])["cost_micro_usd"] if step["bill"] else 0
    if booked != paid:
        yield f"is booked at {booked} micro-USD, its executions at {paid}"


def _start_problems(runs: Mapping[str, RunBook], starts: Sequence[Start]) -> Iterator[str]:
    wanted = {start.workflow_id: start for start in starts}
    of_workflow = defaultdict(list)
    for run_id, book in runs.items():
        start = wanted.get(str(book.row["workflow_id"]))
        if starts and (start is None or book.row["request_id"] not in start.request_ids):
            yield f"run {run_id} is in the books but was never requested"
        of_workflow[str(book.row["workflow_id"])].append(run_id)
    for start in starts:
        made = of_workflow[start.workflow_id]
        if len(made) > 1:
            yield f"the idempotency key {start.key} has made {len(made)} runs"
        if start.run_id and start.run_id not in made:
            yield f"run {start.run_id} was answered to {start.key} and is not in the books"
