"""The reconciliation of runs: consistent books pass, and each kind of discrepancy is found."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.chaos.run_books import RunBook, Start, StepChange, run_problems

RUN, WORKFLOW = "0198c2a4-0000-7000-8000-00000000000a", "0198c2a4-0000-7000-8000-00000000000b"


@dataclass(frozen=True)
class Case:
    """The three inputs of the reconciliation."""

    book: RunBook
    executions: tuple[dict[str, Any], ...]
    start: Start

    def problems(self) -> list[str]:
        return list(run_problems({RUN: self.book}, self.executions, [self.start]))


def execution(execution_id: str, status: str, **fields: Any) -> dict[str, Any]:
    usual = {"run_id": RUN, "task_id": "a", "result": "text" if status == "completed" else "", "request_id": "req_1", "cost_micro_usd": 50}
    return {"execution_id": execution_id, "status": status, **usual, **fields}


def agreeing() -> Case:
    """A step whose first call was lost with its worker, and whose second was answered."""
    step = {"task_id": "a", "status": "completed", "execution_id": "second", "result": "text", "bill": json.dumps({"cost_micro_usd": 100})}
    states = ("ready", "running", "ready", "running", "completed")
    changes = [StepChange("a", state, at) for at, state in enumerate(states)]
    row = {"workflow_id": WORKFLOW, "status": "completed", "sequence": 8, "request_id": "req_1"}
    events = Counter({"workflow.started": 1, "workflow.completed": 1})
    book = RunBook(row, [step], range(1, 9), ["pending", "running", "completed"], changes, events)
    calls = (execution("first", "outcome_unknown"), execution("second", "completed"))
    return Case(book, calls, Start("key", WORKFLOW, ["req_0", "req_1"], RUN))


def booked(**fields: Any) -> Callable[[Case], Case]:
    return lambda case: replace(case, book=replace(case.book, **fields))


def row(**fields: Any) -> Callable[[Case], Case]:
    return lambda case: replace(case, book=replace(case.book, row={**case.book.row, **fields}))


def step(**fields: Any) -> Callable[[Case], Case]:
    return lambda case: replace(case, book=replace(case.book, steps=[{**case.book.steps[0], **fields}]))


def bought(*executions: dict[str, Any]) -> Callable[[Case], Case]:
    return lambda case: replace(case, executions=executions)


def changed(*states: str) -> Callable[[Case], Case]:
    return booked(changes=[StepChange("a", state, at) for at, state in enumerate(states)])


def asked(**fields: Any) -> Callable[[Case], Case]:
    return lambda case: replace(case, start=replace(case.start, **fields))


WRONG = {
    "has not ended": row(status="running"),
    "has the sequences": booked(sequences=[1, 2, 4]),
    "reported the states": booked(states=["pending", "completed", "failed"]),
    "after its end": changed("ready", "running", "completed", "ready"),
    "was completed 2 times": changed("running", "completed", "completed"),
    "was completed 0 times": changed("ready", "running"),
    "has the events": booked(events=Counter({"workflow.started": 1, "workflow.completed": 2})),
    "one would have been enough": bought(execution("first", "completed"), execution("second", "completed")),
    "another request id": bought(execution("first", "outcome_unknown", request_id="req_9"), execution("second", "completed")),
    "has the answer of execution third": step(execution_id="third"),
    "is booked at 60 micro-USD": step(bill=json.dumps({"cost_micro_usd": 60})),
    "has no step b": bought(execution("first", "outcome_unknown"), execution("second", "completed"), execution("x", "failed", task_id="b")),
    "was never requested": asked(request_ids=["req_0"]),
    "is not in the books": asked(run_id="another"),
}


def test_consistent_books_have_no_discrepancy() -> None:
    assert agreeing().problems() == []


@pytest.mark.parametrize("problem", WRONG)
def test_each_discrepancy_is_found(problem: str) -> None:
    found = WRONG[problem](agreeing()).problems()
    assert any(problem in line for line in found), found


def test_two_runs_under_one_key_are_found() -> None:
    case = agreeing()
    found = run_problems({RUN: case.book, "another": case.book}, case.executions, [case.start])
    assert any("the idempotency key key has made 2 runs" in line for line in found)
