"""Every answer of an agent is settled: no execution stays running, and no idempotency key stays claimed by a running call."""

import json
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from catalogue.pricing.prices import PriceBook
from mesh.errors import MeshError, RemoteError
from mesh.rpc.status import retryable
from mesh.usage import MOST_TOKENS, TokenUsage
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.executions.books import Books
from orchestrator.executions.errors import AgentLost
from orchestrator.executions.facts import AnswerFacts, StopReason
from orchestrator.executions.model import AgentAnswer, Intent
from orchestrator.executions.ports import AgentCall
from orchestrator.executions.purchase import Purchases
from orchestrator.executions.stop import StopSignal
from tests.adapters.orchestrator.looking import Connection
from tests.unit.orchestrator.making import AGENT_ID, MODEL, intent, keyed

BOOKS = Books(PriceBook.load(), retryable)
Answer = Callable[[], AgentAnswer]


class Agents:
    """Returns the given answer, or raises the given error."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def execute(self, call: AgentCall, stop: StopSignal) -> AgentAnswer:
        return self._answer()

    async def stream(self, call: AgentCall, stop: StopSignal) -> AsyncIterator[str | AgentAnswer | None]:
        yield "a piece"
        yield self._answer()


def call_of(one: Intent) -> AgentCall:
    return AgentCall(AGENT_ID, 8201, 7, one.execution_id, one.input, None, 10.0)


async def whole(purchases: Purchases, one: Intent) -> None:
    await purchases.whole(one, call_of(one))


async def streamed(purchases: Purchases, one: Intent) -> None:
    async for _ in purchases.pieces(one, call_of(one)):
        pass


def ordinary_answer(**fields: Any) -> AgentAnswer:
    return replace(AgentAnswer("Write better.", 1.0, {"provider": "simulator"}, TokenUsage(MODEL, 10, 5)), **fields)


def strange_answer(dice: random.Random) -> AgentAnswer:
    """An answer with an unusual value in every field."""
    numbers = (0, 1, -3, -(2**31), 2**31, 2**63, 2**70)
    values: tuple[Any, ...] = (
        None,
        True,
        -1,
        2**70,
        1e308,
        math.nan,
        math.inf,
        "\x00",
        "\ud800",
        "\\u0000",
        [],
        {},
        ["\x00"],
        {"a\x00": [{"b": "\ud800"}]},
    )
    usage = TokenUsage(dice.choice((MODEL, "", "no such model", "\x00", "x" * 5000)), *(dice.choice(numbers) for _ in range(4)))  # type: ignore[arg-type]
    return AgentAnswer(
        text=dice.choice(("", "fine", "\x00", "half", "half", "half a \ud800", "x" * 100_000)),
        seconds=dice.choice((0.0, -1.0, math.nan, math.inf, -math.inf, 1e308)),
        metadata={dice.choice(("a", "", "\x00")): dice.choice(values)},
        usage=usage,
        facts=dice.choice((None, AnswerFacts(MODEL, "\x00", dice.choice(list(StopReason)), "of its own", "", -1, {"\x00": 2**70}))),
    )


@pytest.mark.parametrize("buy", [whole, streamed], ids=["whole", "streamed"])
@pytest.mark.parametrize("seed", range(4))
async def test_every_answer_of_an_agent_is_settled(
    recorder: PostgresRecorder, db: Connection, buy: Callable[[Purchases, Intent], Awaitable[None]], seed: int
) -> None:
    dice = random.Random(seed)
    for number in range(40):
        answer = strange_answer(dice)
        with suppress(AgentLost):
            await buy(Purchases(recorder, Agents(partial(replace, answer)), BOOKS), keyed(f"{seed}-{number}"))
    rows = await db.fetch("SELECT status, model, input_tokens, output_tokens, cost_micro_usd FROM executions")
    assert len(rows) == 40
    assert {row["status"] for row in rows} <= {"completed", "outcome_unknown"}
    assert all(row["cost_micro_usd"] >= 0 and row["input_tokens"] >= 0 for row in rows)
    assert sum(row["status"] == "completed" for row in rows) >= 5


@pytest.mark.parametrize(
    ("usage", "stored"),
    [
        (TokenUsage(MODEL, -3, 5), (0, 5, True)),
        (TokenUsage(MODEL, 2**31, 5), (MOST_TOKENS, 5, True)),
        (TokenUsage(MODEL, 10, 2**40), (10, MOST_TOKENS, True)),
        (TokenUsage(MODEL, 10, 5), (10, 5, False)),
    ],
)
async def test_impossible_token_counts_are_recorded_as_the_nearest_possible(
    recorder: PostgresRecorder, db: Connection, usage: TokenUsage, stored: tuple[int, int, bool]
) -> None:
    await whole(Purchases(recorder, Agents(lambda: ordinary_answer(usage=usage)), BOOKS), intent())
    (row,) = await db.fetch("SELECT * FROM executions")
    assert (row["status"], row["input_tokens"], row["output_tokens"], row["usage_estimated"]) == ("completed", *stored)


@pytest.mark.parametrize(
    "details",
    [
        {"usage_model": MODEL},
        {"usage_model": MODEL, "input_tokens": "many", "output_tokens": "1", "cache_read_tokens": "0", "cache_write_tokens": "0"},
        {"usage_model": MODEL, "input_tokens": "-3", "output_tokens": "9999999999", "cache_read_tokens": "0", "cache_write_tokens": "0"},
    ],
)
async def test_a_failure_with_an_unreadable_usage_is_settled(recorder: PostgresRecorder, db: Connection, details: dict[str, str]) -> None:
    def fail() -> AgentAnswer:
        raise RemoteError("LLM_API_ERROR", "the provider failed", details=details)

    with pytest.raises(MeshError, match="the provider failed"):
        await whole(Purchases(recorder, Agents(fail), BOOKS), intent())
    (row,) = await db.fetch("SELECT status, failure, cost_micro_usd, usage_estimated FROM executions")
    assert (row["status"], json.loads(row["failure"])["reason"]) == ("failed", "LLM_API_ERROR")
    assert row["cost_micro_usd"] > 0


async def test_a_settlement_that_the_database_refuses_is_recorded_at_its_worst_case(recorder: PostgresRecorder, db: Connection) -> None:
    one = keyed("k")
    with pytest.raises(AgentLost, match="could not be recorded"):
        await whole(Purchases(recorder, Agents(lambda: ordinary_answer(metadata={"a": [math.nan, 2**70]})), BOOKS), one)
    (row,) = await db.fetch("SELECT * FROM executions")
    assert (row["status"], row["cost_micro_usd"]) == ("outcome_unknown", one.worst_case.cost_micro_usd)
    assert await recorder.record(keyed("k")) is None  # the key was released
