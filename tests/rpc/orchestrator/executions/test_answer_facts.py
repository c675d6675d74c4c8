"""AnswerFacts are the same in the answer, at the end of a stream, in the books and in a replayed answer."""

import json
from typing import Any

import pytest
from agentmesh.common.v1 import answer_pb2

from tests.rpc.orchestrator.running import Call, failure_of, read

MODEL = "claude-sonnet-5-5"
COMPLETE = {"provider": "simulator", "model": MODEL, "stop_reason": "end_turn", "stop_detail": "", "turns": 1, "redacted": {}}


def stored(row: Any) -> Any:
    """The facts in a row of the books, without the revision, which must be the row's."""
    facts = json.loads(row["facts"])
    assert facts.pop("agent_revision") == row["agent_revision"]
    return facts


async def test_an_answer_its_execution_and_its_replay_have_the_same_facts(call: Call) -> None:
    answer = await call.execute(idempotency_key=call.name)
    facts = answer.facts
    assert (facts.provider, facts.model, facts.stop_reason, facts.turns) == ("simulator", MODEL, answer_pb2.STOP_REASON_END_TURN, 1)
    row = await call.settled()
    assert stored(row) == COMPLETE
    assert facts.agent_revision == row["agent_revision"]
    assert (await call.record(answer.execution_id)).facts == facts
    assert (await call.execute(idempotency_key=call.name)).facts == facts


async def test_the_end_of_a_stream_has_the_facts_of_its_execution(call: Call) -> None:
    done = (await read(call.stream())).events[-1].done
    assert done.facts.stop_reason == answer_pb2.STOP_REASON_END_TURN
    assert (await call.record(done.execution_id)).facts == done.facts


async def test_a_truncated_answer_is_marked_as_truncated(call: Call) -> None:
    await call.fault("max-tokens", 5)
    answer = await call.execute()
    assert answer.facts.stop_reason == answer_pb2.STOP_REASON_MAX_TOKENS
    assert stored(await call.settled())["stop_reason"] == "max_tokens"


async def test_an_unknown_stop_reason_is_stored_as_the_provider_sent_it(call: Call) -> None:
    await call.fault("strange-stop")
    answer = await call.execute()
    assert (answer.facts.stop_reason, answer.facts.stop_detail) == (answer_pb2.STOP_REASON_UNSPECIFIED, "out_of_ideas")
    assert stored(await call.settled())["stop_detail"] == "out_of_ideas"


@pytest.mark.parametrize("fault", ["refusal", "late-refusal"])
async def test_a_refusal_is_a_typed_fact(call: Call, fault: str) -> None:
    await call.fault(fault)
    answer = await call.execute()
    assert answer.facts.stop_reason == answer_pb2.STOP_REASON_REFUSAL
    assert stored(await call.settled())["stop_reason"] == "refusal"


async def test_redacted_passages_are_counted_by_rule(call: Call) -> None:
    await call.fault("secret")
    answer = await call.execute()
    assert sum(answer.facts.redacted.values()) >= 1
    assert stored(await call.settled())["redacted"] == dict(answer.facts.redacted)


async def test_a_paused_turn_is_a_failure_with_its_reason_and_its_cost(call: Call) -> None:
    await call.fault("pause-turn")
    error = await failure_of(call.execute())
    assert (error.reason, error.retryable) == ("ANSWER_INCOMPLETE", False)
    row = await call.settled()
    assert (row["status"], stored(row)["stop_reason"]) == ("failed", "pause_turn")
    assert row["cost_micro_usd"] > 0
    record = await call.record(str(row["execution_id"]))
    assert (record.facts.stop_reason, record.failure.code) == (answer_pb2.STOP_REASON_PAUSE_TURN, "ANSWER_INCOMPLETE")


async def test_an_execution_without_an_answer_has_no_facts(call: Call) -> None:
    await call.fault("proxy")
    await failure_of(call.execute())
    row = await call.settled()
    assert row["facts"] is None
    assert not (await call.record(str(row["execution_id"]))).HasField("facts")
