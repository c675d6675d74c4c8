"""Every kind of provider failure as the caller of an agent sees it: reason, retryable, and what was bought."""

import asyncio
from time import monotonic

import pytest
from agentmesh.common.v1.answer_pb2 import AnswerFacts, StopReason
from agentmesh.common.v1.usage_pb2 import Usage

from deploy.simulator.answers.answer import MADE_UP_CREDENTIALS
from mesh.errors import RemoteError
from mesh.rpc.convert import values
from mesh.usage import TokenUsage
from tests.adapters.agent_host.conftest import Call, documented_error, failure_of, read

both = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
MAX_TOKENS = 4096


async def failed(call: Call, streaming: bool, timeout: float = 30) -> RemoteError:
    """The error of a call that fails before any part of its answer was sent."""
    if not streaming:
        return await failure_of(call.execute(timeout))
    streamed = await read(call.stream(timeout))
    assert streamed.frames == []
    return documented_error(streamed.failure)


def bought(error: RemoteError) -> TokenUsage | None:
    return TokenUsage.from_details(error.details)


@both
@pytest.mark.parametrize(("fault", "argument"), [("429", 0), ("529", None), ("500", None)])
async def test_a_transient_failure_is_overcome_by_one_retry(call: Call, streaming: bool, fault: str, argument: int | None) -> None:
    await call.fault(fault, argument, count=1)
    if streaming:
        assert (await read(call.stream())).failure is None
    else:
        assert (await call.execute()).result
    assert await call.purchases() == 2


@both
@pytest.mark.parametrize(
    ("fault", "argument", "status", "kind"),
    [("429", 1, "429", "rate_limit_error"), ("529", None, "529", "overloaded_error"), ("500", None, "500", "api_error")],
)
async def test_a_persistent_failure_is_an_llm_api_error_after_exactly_one_retry_and_buys_nothing(
    call: Call, streaming: bool, fault: str, argument: int | None, status: str, kind: str
) -> None:
    await call.fault(fault, argument)
    error = await failed(call, streaming)
    assert (error.reason, error.retryable) == ("LLM_API_ERROR", True)
    assert (error.details["provider_status"], error.details["provider_error"]) == (status, kind)
    assert error.retry_after_seconds == argument
    assert bought(error) is None
    assert await call.purchases() == 2


@both
async def test_the_retry_waits_as_long_as_the_provider_asks(call: Call, streaming: bool) -> None:
    await call.fault("429", 1, count=1)
    began = monotonic()
    await (read(call.stream()) if streaming else call.execute())
    assert monotonic() - began >= 1
    assert await call.purchases() == 2


@both
async def test_a_long_retry_after_is_passed_to_the_caller_instead_of_waited_for(call: Call, streaming: bool) -> None:
    await call.fault("429", 60)
    began = monotonic()
    error = await failed(call, streaming)
    assert monotonic() - began < 5
    assert (error.reason, error.retryable, error.retry_after_seconds) == ("LLM_API_ERROR", True, 60)
    assert await call.purchases() == 1


async def test_a_wait_longer_than_half_of_the_deadline_is_not_started(call: Call) -> None:
    await call.fault("429", 2)
    error = await failure_of(call.execute(timeout=3))
    assert (error.reason, error.retry_after_seconds) == ("LLM_API_ERROR", 2)
    assert await call.purchases() == 1


@both
@pytest.mark.parametrize("fault", ["delay", "hang"])
async def test_a_provider_slower_than_the_deadline_is_an_llm_api_timeout_before_it_passes(call: Call, streaming: bool, fault: str) -> None:
    await call.fault(fault, 20_000 if fault == "delay" else None)
    began = monotonic()
    error = await failed(call, streaming, timeout=1.5)
    assert monotonic() - began < 1.5
    assert (error.reason, error.retryable) == ("LLM_API_TIMEOUT", True)
    assert error.details["timeout_seconds"] == "1.4"
    usage = bought(error)
    assert usage is not None
    assert (usage.output_tokens, usage.estimated) == (MAX_TOKENS, True)
    assert await call.purchases() == 1


@pytest.mark.parametrize("fault", ["malformed", "cut"])
async def test_an_unreadable_unary_answer_is_not_bought_twice_and_has_its_worst_case(call: Call, fault: str) -> None:
    await call.fault(fault)
    error = await failed(call, streaming=False)
    assert (error.reason, error.retryable) == ("LLM_API_ERROR", True)
    usage = bought(error)
    assert usage is not None
    assert (usage.output_tokens, usage.estimated) == (MAX_TOKENS, True)
    assert await call.purchases() == 1


@pytest.mark.parametrize(
    ("fault", "details"),
    [("malformed", {}), ("cut", {}), ("stream-error", {"provider_status": "200", "provider_error": "overloaded_error"})],
)
async def test_a_stream_that_breaks_midway_ends_with_an_error_event_and_the_usage_so_far(
    call: Call, fault: str, details: dict[str, str]
) -> None:
    await call.fault(fault)
    streamed = await read(call.stream())
    assert streamed.events == ["delta", "error"]
    error = documented_error(streamed.failure)
    assert (error.reason, error.retryable) == ("LLM_API_ERROR", True)
    event = streamed.frames[-1].error
    assert (event.code, event.message) == ("LLM_API_ERROR", error.message)
    assert values(event.details, "details") == {**error.details, "retryable": True}
    usage = bought(error)
    assert usage is not None
    logged = await call.simulator.ended(call.id)
    assert usage.estimated
    assert usage.input_tokens == logged["input_tokens"]
    assert logged["output_tokens"] <= usage.output_tokens < MAX_TOKENS
    assert {key: error.details[key] for key in details} == details
    assert await call.purchases() == 1


@both
async def test_an_empty_answer_is_an_error_with_its_usage(call: Call, streaming: bool) -> None:
    await call.fault("empty")
    error = await failed(call, streaming)
    assert (error.reason, error.retryable) == ("LLM_API_ERROR", True)
    usage = bought(error)
    assert usage is not None
    assert not usage.estimated
    assert usage.input_tokens == (await call.simulator.ended(call.id))["input_tokens"]
    assert await call.purchases() == 1


@both
async def test_a_refusal_is_an_answer_marked_as_refusal(call: Call, streaming: bool) -> None:
    await call.fault("refusal")
    if streaming:
        streamed = await read(call.stream())
        assert streamed.events == ["usage", "done"]
        metadata = streamed.frames[-1].done.metadata
    else:
        answer = await call.execute()
        assert answer.result == ""
        metadata = answer.metadata
    assert values(metadata, "metadata")["stop_reason"] == "refusal"


async def answered(call: Call, streaming: bool) -> tuple[str, AnswerFacts, Usage]:
    """The text, the facts and the usage of a successful call."""
    if streaming:
        streamed = await read(call.stream())
        assert streamed.failure is None
        return streamed.text, streamed.frames[-1].done.facts, streamed.frames[-2].usage
    answer = await call.execute()
    return answer.result, answer.facts, answer.usage


@both
@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        ("late-refusal", StopReason.STOP_REASON_REFUSAL, ""),
        ("max-tokens", StopReason.STOP_REASON_MAX_TOKENS, ""),
        ("strange-stop", StopReason.STOP_REASON_UNSPECIFIED, "out_of_ideas"),
        ("strange-blocks", StopReason.STOP_REASON_END_TURN, ""),
    ],
)
async def test_the_facts_have_the_stop_reason(call: Call, streaming: bool, fault: str, reason: int, detail: str) -> None:
    await call.fault(fault)
    text, facts, usage = await answered(call, streaming)
    assert text
    assert (facts.stop_reason, facts.stop_detail, facts.turns, facts.provider) == (reason, detail, 1, "simulator")
    assert not usage.estimated


@both
@pytest.mark.parametrize(
    ("fault", "message"), [("thinking", "spent all 4096 tokens (max_tokens) on thinking"), ("pause-turn", "paused its turn")]
)
async def test_an_unfinished_answer_is_not_bought_twice(call: Call, streaming: bool, fault: str, message: str) -> None:
    await call.fault(fault)
    if streaming:
        error = documented_error((await read(call.stream())).failure)
    else:
        error = await failure_of(call.execute())
    assert (error.reason, error.retryable, message in error.message) == ("ANSWER_INCOMPLETE", False, True)
    logged = await call.simulator.ended(call.id)
    usage = bought(error)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (logged["input_tokens"], logged["output_tokens"], False)
    assert await call.purchases() == 1


@both
@pytest.mark.parametrize("fault", ["negative-usage", "huge-usage"])
async def test_impossible_usage_is_replaced_by_an_estimate(call: Call, streaming: bool, fault: str) -> None:
    await call.fault(fault)
    text, _, usage = await answered(call, streaming)
    assert text
    assert usage.estimated
    assert 0 < usage.input_tokens < 2**31
    assert (await call.simulator.ended(call.id))["output_tokens"] <= usage.output_tokens <= MAX_TOKENS


@both
@pytest.mark.parametrize(("status", "retryable", "purchases"), [(403, False, 1), (520, True, 2), (530, True, 2)])
async def test_an_html_page_of_a_proxy_is_an_llm_api_error(
    call: Call, streaming: bool, status: int, retryable: bool, purchases: int
) -> None:
    await call.fault("proxy", status)
    error = await failed(call, streaming)
    assert (error.reason, error.retryable, error.details["provider_status"]) == ("LLM_API_ERROR", retryable, str(status))
    assert "ANTHROPIC_API_KEY" not in error.message
    assert bought(error) is None
    assert await call.purchases() == purchases


async def test_an_answer_over_16_mb_is_refused_and_the_host_keeps_running(call: Call) -> None:
    await call.fault("big", 16_000_001)
    error = await failure_of(call.execute(60))
    assert (error.reason, error.retryable, "larger than 16 MB" in error.message) == ("LLM_API_ERROR", False, True)
    assert bought(error) is not None
    await call.execute(input="another call after it", execution_id="")


@both
async def test_credentials_in_an_answer_are_redacted_and_counted(call: Call, streaming: bool) -> None:
    await call.fault("secret")
    if streaming:
        streamed = await read(call.stream())
        text, metadata = streamed.text, streamed.frames[-1].done.metadata
    else:
        answer = await call.execute()
        text, metadata = answer.result, answer.metadata
    for secret in MADE_UP_CREDENTIALS.values():
        assert secret.removeprefix("Bearer ") not in text
    redacted = values(metadata, "metadata")["guardrails"]["redacted"]
    assert redacted == {"aws_access_key": 1, "anthropic_key": 1, "json_web_token": 1, "private_key": 1}
    assert all(f"[redacted: {kind}]" in text for kind in redacted)


async def test_credentials_split_into_small_pieces_are_redacted(call: Call) -> None:
    await call.fault("secret")
    whole = (await call.execute()).result
    await call.simulator.control("POST", "defaults", {"trickle_ms": 5})
    assert (await read(call.stream())).text == whole


@both
async def test_an_answer_of_two_million_characters_arrives_complete(call: Call, streaming: bool) -> None:
    await call.fault("big", 2_000_000)
    text = (await read(call.stream())).text if streaming else (await call.execute()).result
    assert len(text) == 2_000_000


async def test_a_slow_stream_ends_at_the_deadline_with_its_cost_so_far(call: Call) -> None:
    await call.fault("trickle", 300)
    began = monotonic()
    streamed = await read(call.stream(timeout=1.5))
    assert monotonic() - began < 1.5
    assert streamed.events == ["delta", "error"]
    error = documented_error(streamed.failure)
    assert error.reason == "LLM_API_TIMEOUT"
    usage = bought(error)
    assert usage is not None
    assert usage.estimated
    assert usage.output_tokens < MAX_TOKENS


@both
async def test_a_call_without_enough_time_asks_no_provider(call: Call, streaming: bool) -> None:
    error = None
    try:
        await (call.stream(timeout=0.09).read() if streaming else call.execute(timeout=0.09))
    except Exception as failure:  # noqa: BLE001 - the client's own clock may be first
        error = failure
    assert "DEADLINE_EXCEEDED" in repr(error)
    await call.execute(input="another call after it", execution_id="")
    assert await call.purchases() == 0


async def test_failures_of_some_calls_do_not_affect_others(call: Call) -> None:
    await call.fault("hang")
    hanging = [asyncio.ensure_future(call.execute(timeout=2)) for _ in range(30)]
    others = await asyncio.gather(*(call.execute(input=f"another {number}", execution_id="") for number in range(30)))
    assert all(answer.result for answer in others)
    for ended in hanging:
        assert (await failure_of(ended)).reason == "LLM_API_TIMEOUT"
