import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_server.turn.agent import Agent
from catalogue.pricing.prices import PriceBook
from deploy.simulator.messages.prompt import Prompt
from mesh.errors import CallCancelled, MeshError, RemoteError, ServiceUnavailable, UpstreamTimeout, ValidationFailed
from mesh.rpc.status import retryable
from mesh.usage import TokenUsage
from orchestrator.executions.books import Books, new_id
from orchestrator.executions.errors import AgentLost, AgentUnavailable
from orchestrator.executions.model import AgentAnswer, State, StepRef, Work
from orchestrator.idempotency.model import Claim, Operation
from orchestrator.registry.model import ListedAgent
from tests.unit.orchestrator.making import AGENT_ID, MODEL, definition, intent, work

BOOKS = Books(PriceBook.load(), retryable)
USED = TokenUsage(MODEL, 120, 30)
ACTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=60,
)


def bought(system: str, text: str, context: dict[str, Any] | None) -> int:
    """The input tokens that the provider bills for a prompt rendered by the agent host."""
    agent = Agent(definition(family_prompt=system, focus="", parameters={}), MODEL)
    prompt = agent.prompt(text, context, "")
    message = {"role": "user", "content": prompt.input}
    return Prompt.of({"model": MODEL, "system": prompt.system, "messages": [message], "max_tokens": prompt.max_tokens}).tokens


def worst_case(system: str, text: str, context: dict[str, Any] | None) -> TokenUsage:
    revision = hashlib.sha256(system.encode()).hexdigest()[:12]
    listed = ListedAgent(definition(family_prompt=system, focus="", parameters={}, revision=revision), MODEL, 8201)
    return BOOKS.intent(work(input=text, context=context), listed, streamed=False).worst_case.usage


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300), st.text(min_size=1, max_size=3000), st.none() | st.dictionaries(st.text(max_size=8), ACTS, max_size=8))
def test_the_worst_case_is_never_below_the_bill(system: str, text: str, context: dict[str, Any] | None) -> None:
    assert worst_case(system, text, context).input_tokens >= bought(system, text, context)


@pytest.mark.parametrize("text", ["a", "ä" * 200_000, "日本" * 100_000, "🙂" * 100_000, "a" * 200_000])
def test_the_worst_case_covers_the_shortest_and_the_longest_input(text: str) -> None:
    assert worst_case("You help.", text, None).input_tokens >= bought("You help.", text, None)


def test_the_worst_case_covers_a_deeply_nested_context_as_rendered() -> None:
    nested: Any = [1] * 200
    for _ in range(60):
        nested = [nested, 1]
    context = {"facts": nested}
    assert worst_case("You help.", "Why?", context).input_tokens >= bought("You help.", "Why?", context)


def test_the_worst_case_includes_every_output_token() -> None:
    assert worst_case("You help.", "Why?", None).output_tokens == definition().max_tokens


@given(st.integers(0, 900), st.integers(0, 4096))
def test_fewer_tokens_than_the_worst_case_cost_less(input_tokens: int, output_tokens: int) -> None:
    recorded = BOOKS.intent(work(input="x" * 3000), ListedAgent(definition(), MODEL, 8201), streamed=False)
    settlement = BOOKS.completed(recorded, AgentAnswer("Yes.", 1.0, {}, TokenUsage(MODEL, input_tokens, output_tokens)))
    assert settlement.bill is not None
    assert settlement.bill.cost_micro_usd <= recorded.worst_case.cost_micro_usd


def test_an_intent_records_the_agents_revision_and_the_caller() -> None:
    agent = ListedAgent(definition(name="Ranker", revision="abcdefabcdef"), MODEL, 8201)
    recorded = BOOKS.intent(work(user_id=9, request_id="req_x", context={"a": 1}), agent, streamed=True)
    assert (recorded.agent_id, recorded.agent_name, recorded.agent_revision) == (AGENT_ID, "Ranker", "abcdefabcdef")
    assert (recorded.user_id, recorded.request_id, recorded.context, recorded.streamed) == (9, "req_x", {"a": 1}, True)
    assert recorded.worst_case.usage.estimated
    assert recorded.worst_case.price_table == "2026-11-01"


def claim_of(asked: Work) -> Claim | None:
    return BOOKS.intent(asked, ListedAgent(definition(), MODEL, 8201), streamed=False).claim


def body_hash(asked: Work) -> bytes:
    claim = claim_of(replace(asked, idempotency_key="k"))
    assert claim is not None
    return claim.body_hash


def test_only_an_intent_with_an_idempotency_key_claims_one() -> None:
    assert claim_of(work()) is None
    assert claim_of(work(idempotency_key="k")) == Claim(7, Operation.EXECUTE_AGENT, "k", body_hash(work()))


def test_a_step_claims_a_key_that_no_caller_can_use() -> None:
    step = StepRef(new_id(), "a")
    assert claim_of(work(idempotency_key=step.key, step=step)) == Claim(7, Operation.RUN_STEP, step.key, body_hash(work()))


def test_the_body_hash_equals_that_of_earlier_releases() -> None:
    """Keys are kept for 24 h: a request that is repeated after an upgrade must not conflict with itself."""
    body = '["marketing_seo_strategist_agent_1_1", "How do we rank?", {"a": 1, "b": "ü"}]'
    assert body_hash(work(context={"b": "ü", "a": 1})) == hashlib.sha256(body.encode()).digest()


def test_the_body_hash_ignores_the_order_of_keys_at_every_depth() -> None:
    here = work(context={"a": 1, "b": {"c": [1, {"d": 2, "e": 3}], "f": None}})
    there = work(context={"b": {"f": None, "c": [1, {"e": 3, "d": 2}]}, "a": 1})
    assert body_hash(here) == body_hash(there)


@pytest.mark.parametrize(
    "other",
    [
        {"input": "How do we rank? "},
        {"agent_id": "marketing_seo_strategist_agent_1_2"},
        {"context": {}},
        {"context": {"a": 1}},
        {"context": {"a": "1"}},
        {"context": {"a": [1, 2]}},
        {"context": {"a": [2, 1]}},
    ],
)
def test_the_body_hash_changes_with_every_difference_in_content(other: dict[str, Any]) -> None:
    assert body_hash(work(**other)) != body_hash(work())
    assert body_hash(work(**other)) != body_hash(work(context={"a": True}))


def test_the_body_hash_does_not_depend_on_the_caller() -> None:
    assert body_hash(work()) == body_hash(work(user_id=8, request_id="req_2"))


AGENT_SAYS_CANCELLED = RemoteError("CANCELLED", "the execution was cancelled", details=USED.to_details())
PROVIDER_FAILED = RemoteError("LLM_API_ERROR", "overloaded", retryable=True, details=USED.to_details())
PROVIDER_REFUSED = RemoteError("LLM_API_ERROR", "bad request", retryable=False)


@pytest.mark.parametrize(
    ("error", "state", "cost", "frees_key"),
    [
        (AgentUnavailable("not there", agent_id=AGENT_ID), State.FAILED, "none", True),
        (AgentLost("lost", agent_id=AGENT_ID), State.OUTCOME_UNKNOWN, "worst case", True),
        (UpstreamTimeout("too late"), State.OUTCOME_UNKNOWN, "worst case", True),
        (CallCancelled("gone"), State.CANCELLED, "worst case", True),
        (AGENT_SAYS_CANCELLED, State.CANCELLED, "used", True),
        (RemoteError("CANCELLED", "before anything was sent"), State.CANCELLED, "none", True),
        (PROVIDER_FAILED, State.FAILED, "used", True),
        (PROVIDER_REFUSED, State.FAILED, "none", False),
        (RemoteError("LLM_API_TIMEOUT", "slow", details=USED.to_details()), State.FAILED, "used", True),
        (RemoteError("AGENT_EXECUTION_FAILED", "bug", details=USED.to_details()), State.FAILED, "used", True),
        (RemoteError("VALIDATION_ERROR", "context.market: must be a string"), State.FAILED, "none", False),
    ],
)
def test_each_failure_has_its_state_and_cost_and_releases_or_keeps_the_key(
    error: MeshError, state: State, cost: str, frees_key: bool
) -> None:
    recorded = intent()
    settlement = BOOKS.failed(recorded, error, "What had been sent", 2.5)
    assert (settlement.state, settlement.frees_key) == (state, frees_key)
    assert (settlement.result, settlement.seconds) == ("What had been sent", 2.5)
    usages = {"none": None, "worst case": recorded.worst_case.usage, "used": USED}
    assert (settlement.bill.usage if settlement.bill else None) == usages[cost]
    assert settlement.failure is not None
    assert (settlement.failure.reason, settlement.failure.message) == (error.reason, error.message)


def test_a_call_that_never_began_costs_nothing() -> None:
    cancelled = BOOKS.never_begun(intent(), CallCancelled("gone"))
    refused = BOOKS.never_begun(intent(), ServiceUnavailable("no database"))
    assert (cancelled.state, cancelled.bill, refused.state, refused.bill) == (State.CANCELLED, None, State.FAILED, None)


def test_a_completed_call_keeps_its_key() -> None:
    settlement = BOOKS.completed(intent(), AgentAnswer("Yes.", 1.25, {"provider": "simulator"}, USED))
    assert (settlement.state, settlement.result, settlement.seconds, settlement.frees_key) == (State.COMPLETED, "Yes.", 1.25, False)
    assert settlement.bill is not None
    assert settlement.bill.cost_micro_usd == 120 * 2 + 30 * 10


def test_a_model_without_a_price_costs_as_much_as_the_dearest() -> None:
    agent = ListedAgent(definition(), "claude-of-tomorrow", 8201)
    dearest = ListedAgent(definition(), "claude-opus-5", 8201)
    costs = [BOOKS.intent(work(), listed, streamed=False).worst_case.cost_micro_usd for listed in (agent, dearest)]
    assert costs[0] == costs[1]


def test_an_invalid_request_is_not_retryable() -> None:
    failure = BOOKS.failed(intent(), ValidationFailed.of("context.market", "must be a string"), "", 0.0).failure
    assert failure is not None
    assert not failure.retryable


def test_ids_sort_by_creation_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
