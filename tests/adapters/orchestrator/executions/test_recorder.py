import asyncio
import json
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from mesh.tasks import BackgroundTasks
from mesh.usage import TokenUsage
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.executions.model import State
from tests.adapters.orchestrator import looking
from tests.adapters.orchestrator.looking import Connection
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import BILL, WORST_CASE, completed, ended, failed, intent, keyed


async def test_record_returns_once_the_intent_is_committed_at_its_worst_case(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = intent(streamed=True)
    assert await recorder.record(recorded) is None
    row = await looking.execution(db, recorded)
    assert (row["status"], row["user_id"], row["agent_id"], row["streamed"]) == ("running", 7, recorded.agent_id, True)
    assert (row["model"], row["input_tokens"], row["output_tokens"], row["cost_micro_usd"], row["usage_estimated"]) == (
        *(WORST_CASE.usage.model, 1000, 4096, WORST_CASE.cost_micro_usd, True),
    )
    assert (row["epoch"], row["finished_at"], json.loads(row["context"])) == (1, None, {"market": "DE", "budget": 3})
    assert await looking.events(db) == []


async def test_an_intent_keeps_the_api_key_that_made_the_call(recorder: PostgresRecorder, db: Connection) -> None:
    of_key, of_token = intent(api_key_id=UUID(int=7)), intent()
    await asyncio.gather(recorder.record(of_key), recorder.record(of_token))  # in one statement
    assert (await looking.execution(db, of_key))["api_key_id"] == UUID(int=7)
    assert (await looking.execution(db, of_token))["api_key_id"] is None


async def test_a_settlement_is_written_with_its_event_and_its_key_in_one_transaction(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = keyed("k")
    await recorder.record(recorded)
    assert await recorder.settle(failed(recorded, retryable=True))
    row, (event,), key = await looking.execution(db, recorded), await looking.events(db, recorded), await looking.key(db, recorded)
    assert (row["status"], key["free"]) == ("failed", True)
    assert row["by"] == event["by"] == key["by"]


async def test_a_completed_execution_has_its_answer_its_bill_and_its_end(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = intent()
    await recorder.record(recorded)
    assert await recorder.settle(completed(recorded))
    row = await looking.execution(db, recorded)
    assert (row["status"], row["result"], json.loads(row["metadata"]), row["failure"]) == (
        *("completed", "Write better.", {"provider": "simulator"}, None),
    )
    assert (row["input_tokens"], row["output_tokens"], row["cost_micro_usd"], row["usage_estimated"]) == (100, 50, 700, False)
    assert row["seconds"] == 1.5
    assert row["finished_at"] >= row["created_at"]


async def test_an_execution_that_bought_nothing_names_no_model_and_costs_nothing(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = intent()
    await recorder.record(recorded)
    await recorder.settle(failed(recorded, retryable=False))
    row = await looking.execution(db, recorded)
    assert (row["model"], row["input_tokens"], row["output_tokens"], row["cost_micro_usd"]) == (None, 0, 0, 0)
    assert json.loads(row["failure"]) == {
        "reason": "LLM_API_ERROR",
        "message": "overloaded",
        "details": {"provider_status": "529"},
        "retryable": False,
    }


async def test_the_event_has_the_user_the_agent_and_the_cost(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = intent()
    await recorder.record(recorded)
    await recorder.settle(completed(recorded))
    (event,) = await looking.events(db)
    assert (event["event_type"], event["aggregate_id"], event["source"]) == ("agent.executed", recorded.agent_id, "orchestrator")
    assert looking.data(event) == {
        "execution_id": str(recorded.execution_id),
        "agent_id": recorded.agent_id,
        "user_id": 7,
        "duration": 1.5,
        "status": "completed",
        "cost_micro_usd": BILL.cost_micro_usd,
    }
    assert json.loads(event["metadata"]) == {"request_id": "req_1"}


async def test_an_execution_is_settled_once(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = intent()
    await recorder.record(recorded)
    assert await recorder.settle(completed(recorded))
    assert not await recorder.settle(ended(recorded, State.CANCELLED))
    assert (await looking.state(db, recorded), len(await looking.events(db))) == ("completed", 1)


async def test_only_one_of_two_settlements_in_one_commit_counts(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = intent()
    await recorder.record(recorded)
    outcomes = await asyncio.gather(recorder.settle(completed(recorded)), recorder.settle(ended(recorded, State.CANCELLED)))
    assert sorted(outcomes) == [False, True]
    (event,) = await looking.events(db)
    assert looking.data(event)["status"] == await looking.state(db, recorded) == ("completed" if outcomes[0] else "cancelled")


async def test_an_unrecorded_intent_cannot_be_settled(recorder: PostgresRecorder, db: Connection) -> None:
    assert not await recorder.settle(completed(intent()))
    assert await looking.events(db) == []


async def test_hundreds_of_intents_and_settlements_are_written_in_few_commits(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = [intent() for _ in range(600)]
    assert await asyncio.gather(*map(recorder.record, recorded)) == [None] * 600
    assert await db.fetchval("SELECT count(*) FROM executions WHERE status = 'running'") == 600
    assert await looking.transactions(db, "executions") <= 4
    assert all(await asyncio.gather(*(recorder.settle(completed(one)) for one in recorded)))
    assert await db.fetchval("SELECT count(*) FROM executions WHERE status = 'completed'") == 600
    assert await looking.transactions(db, "executions") <= 4
    assert len({event["event_id"] for event in await looking.events(db)}) == 600


async def test_token_counts_that_do_not_fit_are_recorded_as_the_largest_that_do(recorder: PostgresRecorder, db: Connection) -> None:
    """TokenUsage bounds them, because every purchase must be recorded. So only a cost can have an invalid type below."""
    large = replace(WORST_CASE, usage=TokenUsage("claude-sonnet-5-5", 2**40, 2**31))
    await recorder.record(intent(worst_case=large))
    assert [dict(row) for row in await db.fetch("SELECT input_tokens, output_tokens FROM executions")] == [
        {"input_tokens": 2**31 - 1, "output_tokens": 2**31 - 1}
    ]


@pytest.mark.parametrize("spoilt", [{"input": "a\x00b"}, {"agent_id": "x" * 201}, {"worst_case": None}], ids=["text", "length", "type"])
async def test_an_invalid_intent_fails_alone(recorder: PostgresRecorder, db: Connection, spoilt: dict[str, object]) -> None:
    tokens = replace(WORST_CASE, cost_micro_usd=2**70)
    bad = intent(**spoilt) if spoilt != {"worst_case": None} else intent(worst_case=tokens)
    good = [intent() for _ in range(40)]
    outcomes = await asyncio.gather(*map(recorder.record, [*good[:20], bad, *good[20:]]), return_exceptions=True)
    assert isinstance(outcomes.pop(20), asyncpg.PostgresError)
    assert outcomes == [None] * 40
    assert await db.fetchval("SELECT count(*) FROM executions") == 40


async def test_an_invalid_settlement_fails_alone(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = [intent() for _ in range(41)]
    await asyncio.gather(*map(recorder.record, recorded))
    settlements = [completed(one) for one in recorded]
    settlements[20] = completed(recorded[20], seconds=float("1e400"), metadata={"text": "\ud800"})
    outcomes = await asyncio.gather(*map(recorder.settle, settlements), return_exceptions=True)
    assert isinstance(outcomes.pop(20), asyncpg.PostgresError)
    assert outcomes == [True] * 40
    assert await looking.state(db, recorded[20]) == "running"
    assert await recorder.settle(ended(recorded[20], State.OUTCOME_UNKNOWN))


async def test_the_nul_character_is_omitted(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = [intent(), intent()]
    await asyncio.gather(*map(recorder.record, recorded))
    nul = {"a": "x\x00y", "deep": [{"b\x00": "\x00"}], "escaped": "\\u0000"}
    assert await recorder.settle(completed(recorded[0], result="Write\x00 better.", metadata=nul))
    failure = failed(recorded[1], retryable=True).failure
    assert failure is not None
    spoilt = replace(failure, message="over\x00loaded", details={"provider_error": "\x00"})
    assert await recorder.settle(replace(failed(recorded[1], retryable=True), failure=spoilt))
    row = await looking.execution(db, recorded[0])
    assert (row["result"], json.loads(row["metadata"])) == ("Write better.", {"a": "xy", "deep": [{"b": ""}], "escaped": "\\u0000"})
    assert json.loads((await looking.execution(db, recorded[1]))["failure"])["message"] == "overloaded"


async def test_a_context_keeps_integers_beyond_64_bits(recorder: PostgresRecorder, db: Connection) -> None:
    recorded = intent(context={"big": int(1e300), "small": 0.1, "deep": [{"none": None}]})
    await recorder.record(recorded)
    assert json.loads((await looking.execution(db, recorded))["context"]) == recorded.context


async def test_a_recorder_that_stops_closes_its_connections(books_url: str, db: Connection) -> None:
    async with PostgresRecorder(books_url, 0.1, BackgroundTasks()) as recorder:
        recorded = intent()
        await recorder.record(recorded)
        first = (await looking.execution(db, recorded))["lease_until"]

        async def renewed() -> bool:
            return bool((await looking.execution(db, recorded))["lease_until"] > first)

        await eventually(renewed)
        await recorder.settle(completed(recorded))
        assert await db.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == 4

    async def alone() -> bool:
        return bool(await db.fetchval("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"))

    await eventually(alone)
