"""Reconciles three records: the platform's books, the provider's log (the simulator's) and the clients' ledger.

`reconcile` does not depend on the faults; use it after any of them, once `settled` shows that nothing is open.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from catalogue.pricing.prices import PriceBook
from tests.chaos.calls import NOTHING_BOUGHT, OK, Call
from tests.chaos.run_books import COMPLETED, Row, RunBook, Start, read_runs, run_problems

RUNNING = "running"
BOUND_BY_COST = frozenset({"outcome_unknown", "cancelled", "failed"})
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Purchase:
    """One request that the provider bills."""

    request_id: str
    execution_id: str | None
    tokens: tuple[int, int, int, int]
    """Tokens: input, output, read from the cache, written to it."""
    cost_micro_usd: int


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that the platform and the provider have recorded."""

    executions: Mapping[str, Row]
    events: Mapping[str, Sequence[Mapping[str, Any]]]
    """The `agent.executed` events of each execution."""
    purchases: Mapping[str | None, Sequence[Purchase]]
    """The purchases that the provider bills to each execution."""
    runs: Mapping[str, RunBook] = field(default_factory=dict)

    @property
    def states(self) -> Counter[str]:
        """The number of executions by final state."""
        return Counter(row["status"] for row in self.executions.values())

    def of_request(self, request_id: str) -> list[Row]:
        """The executions of one request."""
        return [row for row in self.executions.values() if row["request_id"] == request_id]


async def reconcile(database_url: str, simulator_log: Path, ledger: Iterable[Call], starts: Iterable[Start] = ()) -> Books:
    """Read the books; raises AssertionError with every discrepancy.

    `ledger` must contain every call that was ever sent to the platform, and `starts` every run that was requested.
    """
    books = await read_books(database_url, simulator_log)
    problems = list(discrepancies(books, list(ledger), list(starts)))
    assert not problems, f"{len(problems)} discrepancies:\n" + "\n".join(problems[:SHOWN])
    return books


async def read_books(database_url: str, simulator_log: Path) -> Books:
    """The current records of the platform and the provider."""
    connection = await asyncpg.connect(database_url.replace("postgresql+asyncpg://", "postgresql://"))
    try:
        executions = await connection.fetch("SELECT * FROM executions ORDER BY execution_id")
        outbox = await connection.fetch("SELECT data FROM outbox WHERE event_type = 'agent.executed'")
        runs = await read_runs(connection)
    finally:
        await connection.close()
    events = defaultdict(list)
    for row in outbox:
        data = json.loads(row["data"])
        events[data["execution_id"]].append(data)
    return Books({str(row["execution_id"]): dict(row) for row in executions}, events, read_purchases(simulator_log), runs)


def read_purchases(simulator_log: Path) -> Mapping[str | None, Sequence[Purchase]]:
    """The provider's purchases by execution; of the two entries of a request, the second counts."""
    latest = {}
    for line in simulator_log.read_text().splitlines() if simulator_log.exists() else ():
        entry = json.loads(line)
        latest[entry["request_id"]] = entry
    prices = PriceBook.load().table(datetime.now(UTC).date())
    purchases = defaultdict(list)
    for entry in latest.values():
        if entry["billed"]:
            names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            plain, output, read, written = (entry[name] for name in names)
            cost = prices.cost_micro_usd(entry["model"], plain, output, read, written)
            execution_id = entry["execution_id"]
            purchases[execution_id].append(Purchase(entry["request_id"], execution_id, (plain, output, read, written), cost))
    return purchases


def discrepancies(books: Books, ledger: Sequence[Call], starts: Sequence[Start] = ()) -> Iterator[str]:
    """Every discrepancy, described in words."""
    for execution_id, bought in books.purchases.items():
        if execution_id not in books.executions:
            yield f"the provider bills {len(bought)} requests to execution {execution_id}, which is not in the books"
    for execution_id, row in books.executions.items():
        for problem in _execution_problems(row, books.purchases.get(execution_id, ())):
            yield f"execution {execution_id} ({row['status']}, request {row['request_id']}) {problem}"
        yield from _event_problems(execution_id, row, books.events.get(execution_id, ()))
    for stray in books.events.keys() - books.executions.keys():
        yield f"an event tells of execution {stray}, which is not in the books"
    yield from _ledger_problems(books, ledger)
    yield from run_problems(books.runs, list(books.executions.values()), starts)


def _execution_problems(row: Row, bought: Sequence[Purchase]) -> Iterator[str]:
    tokens = tuple(map(sum, zip(*(purchase.tokens for purchase in bought), strict=True))) if bought else (0, 0, 0, 0)
    recorded = (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], row["cache_write_tokens"])
    paid = sum(purchase.cost_micro_usd for purchase in bought)
    if row["status"] == RUNNING or row["finished_at"] is None:
        yield "was never settled"
    elif row["status"] == COMPLETED:
        if not bought:
            yield "is completed without a request to the provider"
        elif recorded != tokens:
            yield f"is recorded with the tokens {recorded}; the provider bills {tokens} for {len(bought)} requests"
    elif row["status"] not in BOUND_BY_COST:
        yield "has an unknown state"
    if row["cost_micro_usd"] < paid:
        yield f"is recorded at {row['cost_micro_usd']} micro-USD and cost {paid}"


def _event_problems(execution_id: str, row: Row, events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if len(events) != 1:
        yield f"execution {execution_id} ({row['status']}) has {len(events)} agent.executed events"
    for event in events:
        if (event["status"], event["cost_micro_usd"]) != (row["status"], row["cost_micro_usd"]):
            yield f"execution {execution_id} ({row['status']}, {row['cost_micro_usd']} micro-USD) has the event {event}"


def _ledger_problems(books: Books, ledger: Sequence[Call]) -> Iterator[str]:
    rows = defaultdict(list)
    for row in books.executions.values():
        if row["run_id"] is None:
            rows[row["request_id"]].append(row)
    asked = {attempt.request_id for call in ledger for attempt in call.attempts}
    for request_id in rows.keys() - asked:
        yield f"request {request_id} is in the books but was never sent"
    for call in ledger:
        yield from _attempt_problems(books, rows, call)
        if call.key:
            yield from _key_problems(rows, call)


def _attempt_problems(books: Books, rows: Mapping[str, Sequence[Row]], call: Call) -> Iterator[str]:
    for attempt in call.attempts:
        made = rows.get(attempt.request_id, ())
        if len(made) > 1:
            yield f"request {attempt.request_id} has made {len(made)} executions"
        if attempt.outcome in NOTHING_BOUGHT and any(books.purchases.get(str(row["execution_id"])) for row in made):
            yield f"request {attempt.request_id} was answered {attempt.outcome} by {attempt.client}, and something was bought"
        if attempt.answer is None:
            continue
        row = books.executions.get(attempt.answer.execution_id)
        if row is None or row["status"] != COMPLETED:
            state = "not there" if row is None else row["status"]
            yield f"request {attempt.request_id} was answered, and its execution {attempt.answer.execution_id} is {state}"
        elif (row["result"], row["input_tokens"], row["output_tokens"]) != (
            attempt.answer.text,
            attempt.answer.input_tokens,
            attempt.answer.output_tokens,
        ):
            yield f"request {attempt.request_id} was answered with another text or usage than execution {row['execution_id']} has"


def _key_problems(rows: Mapping[str, Sequence[Row]], call: Call) -> Iterator[str]:
    made = [row for attempt in call.attempts for row in rows.get(attempt.request_id, ())]
    answers = {attempt.answer.execution_id for attempt in call.attempts if attempt.outcome == OK and attempt.answer}
    recorded = {str(row["execution_id"]) for row in made if row["status"] == COMPLETED}
    if len(recorded | answers) > 1:
        yield f"the idempotency key {call.key} has more than one recorded answer: {sorted(recorded | answers)}"
