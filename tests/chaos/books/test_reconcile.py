"""The reconciliation itself: consistent books pass, and each kind of discrepancy is found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.calls import OK, Answer, Attempt, Call
from tests.chaos.reconcile import Books, Purchase, discrepancies

ANSWERED, ORPHAN = "0198c2a4-0000-7000-8000-000000000001", "0198c2a4-0000-7000-8000-000000000002"


def row(execution_id: str, request_id: str, **fields: Any) -> dict[str, Any]:
    usual = {"status": "completed", "finished_at": "now", "result": "text", "cost_micro_usd": 120, "request_id": request_id, "run_id": None}
    tokens = {"input_tokens": 10, "output_tokens": 10, "cache_read_tokens": 0, "cache_write_tokens": 0}
    return {"execution_id": execution_id, **usual, **tokens, **fields}


def event(status: str, cost: int) -> dict[str, Any]:
    return {"status": status, "cost_micro_usd": cost}


def books_that_agree() -> Books:
    orphan = row(ORPHAN, "req_2", status="outcome_unknown", result="", output_tokens=4096, cost_micro_usd=40_000)
    return Books(
        {ANSWERED: row(ANSWERED, "req_1"), ORPHAN: orphan},
        {ANSWERED: [event("completed", 120)], ORPHAN: [event("outcome_unknown", 40_000)]},
        {ANSWERED: [Purchase("req_sim1", ANSWERED, (10, 10, 0, 0), 120)], ORPHAN: [Purchase("req_sim2", ORPHAN, (10, 400, 0, 0), 4020)]},
    )


def ledger_that_agrees() -> list[Call]:
    answered = Attempt("req_1", "rest", OK, Answer(ANSWERED, "text", 10, 10))
    return [Call("one", key="key", attempts=[Attempt("req_2", "rest", "AGENT_EXECUTION_FAILED"), answered])]


def settled_as(execution_id: str, **fields: Any) -> Callable[[Books], Books]:
    """The books with changed fields in one execution and in its event."""

    def change(books: Books) -> Books:
        changed = {**books.executions[execution_id], **fields}
        with_events = event(changed["status"], changed["cost_micro_usd"])
        return replace(books, executions={**books.executions, execution_id: changed}, events={**books.events, execution_id: [with_events]})

    return change


def bought(*purchases: Purchase) -> Callable[[Books], Books]:
    return lambda books: replace(books, purchases={ORPHAN: books.purchases[ORPHAN], **{one.execution_id: [one] for one in purchases}})


def with_events(*events: dict[str, Any]) -> Callable[[Books], Books]:
    return lambda books: replace(books, events={**books.events, ANSWERED: events})


WRONG_BOOKS = {
    "was never settled": settled_as(ORPHAN, status="running", finished_at=None),
    "is completed without a request to the provider": bought(),
    "the provider bills (10, 12, 0, 0)": bought(Purchase("req_sim1", ANSWERED, (10, 12, 0, 0), 120)),
    "micro-USD and cost 4020": settled_as(ORPHAN, cost_micro_usd=4000),
    "which is not in the books": bought(
        Purchase("req_sim1", ANSWERED, (10, 10, 0, 0), 120), Purchase("req_sim3", "a stranger's", (1, 1, 0, 0), 12)
    ),
    "has 0 agent.executed events": with_events(),
    "has 2 agent.executed events": with_events(event("completed", 120), event("completed", 120)),
    "has the event": with_events(event("failed", 120)),
    "was never sent": settled_as(ORPHAN, request_id="req_9"),
    "has made 2 executions": settled_as(ORPHAN, request_id="req_1"),
    "was answered, and its execution": settled_as(ANSWERED, status="failed"),
    "with another text or usage": settled_as(ANSWERED, result="another"),
    "more than one recorded answer": settled_as(ORPHAN, status="completed", output_tokens=400),
}


def test_consistent_books_have_no_discrepancy() -> None:
    assert list(discrepancies(books_that_agree(), ledger_that_agrees())) == []


@pytest.mark.parametrize("problem", WRONG_BOOKS)
def test_each_discrepancy_is_found(problem: str) -> None:
    found = list(discrepancies(WRONG_BOOKS[problem](books_that_agree()), ledger_that_agrees()))
    assert any(problem in line for line in found), found


def test_unavailable_for_a_purchased_call_is_a_discrepancy() -> None:
    ledger = ledger_that_agrees()
    ledger[0].attempts[0] = Attempt("req_2", "rest", "AGENT_UNAVAILABLE")
    assert any("something was bought" in line for line in discrepancies(books_that_agree(), ledger))
