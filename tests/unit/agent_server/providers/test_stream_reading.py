"""Reading the provider's stream: the text, and a usage meter that is correct at every moment."""

from types import SimpleNamespace
from typing import Any

import pytest

from agent_server.model.errors import ModelApiError
from agent_server.model.ports import Meter
from agent_server.providers.anthropic.usage import IN_FLIGHT_TOKENS, StreamReading, metered
from mesh.usage import TokenUsage
from tests.unit.agent_server.conftest import PROMPT

MODEL = "claude-sonnet-5-5-20261001"


def usage(**tokens: int | None) -> Any:
    return SimpleNamespace(to_dict=lambda: tokens)


def start(**tokens: int | None) -> Any:
    reported = usage(
        **({"input_tokens": 40, "output_tokens": 1, "cache_read_input_tokens": 7, "cache_creation_input_tokens": None} | tokens)
    )
    return SimpleNamespace(type="message_start", message=SimpleNamespace(model=MODEL, usage=reported))


def delta(text: str) -> Any:
    return SimpleNamespace(type="content_block_delta", delta=SimpleNamespace(type="text_delta", text=text))


def end(**tokens: int | None) -> Any:
    return SimpleNamespace(type="message_delta", delta=SimpleNamespace(stop_reason="end_turn"), usage=usage(**tokens))


STOP = SimpleNamespace(type="message_stop")


@pytest.fixture
def meter() -> Meter:
    meter = Meter()
    meter.sent(PROMPT)
    return meter


@pytest.fixture
def reading(meter: Meter) -> StreamReading:
    return StreamReading(PROMPT, meter)


def test_the_text_arrives_in_pieces_and_the_whole_answer_last(reading: StreamReading) -> None:
    events = [start(), SimpleNamespace(type="ping"), delta("Hello "), delta("world"), end(output_tokens=9), STOP]
    assert [reading.take(event) for event in events] == ["", "", "Hello ", "world", "", ""]
    answer = reading.answer()
    assert (answer.text, answer.model, answer.stop_reason) == ("Hello world", MODEL, "end_turn")


def test_usage_is_what_the_provider_reported_last(reading: StreamReading, meter: Meter) -> None:
    for event in (start(), delta("Hello"), end(input_tokens=None, output_tokens=9, cache_creation_input_tokens=3), STOP):
        reading.take(event)
    assert meter.usage == TokenUsage(MODEL, 40, 9, 7, 3)


def test_message_start_replaces_the_worst_case_by_the_usage_of_the_prompt(reading: StreamReading, meter: Meter) -> None:
    assert meter.usage is not None
    assert meter.usage.output_tokens == 1_000
    reading.take(start())
    assert meter.usage == TokenUsage(MODEL, 40, 1 + IN_FLIGHT_TOKENS, 7, 0, estimated=True)


def test_the_text_so_far_is_metered_by_an_upper_estimate(reading: StreamReading, meter: Meter) -> None:
    reading.take(start())
    for _ in range(10):
        reading.take(delta("twelve bytes"))
    assert meter.usage == TokenUsage(MODEL, 40, 40 + IN_FLIGHT_TOKENS, 7, 0, estimated=True)


def test_a_stream_without_message_stop_is_a_retryable_error(reading: StreamReading, meter: Meter) -> None:
    for event in (start(), delta("Hello"), end(output_tokens=9)):
        reading.take(event)
    with pytest.raises(ModelApiError) as cut:
        reading.answer()
    assert cut.value.retryable is True
    assert meter.usage == TokenUsage(MODEL, 40, 9, 7, 0)


def test_a_stream_without_message_start_keeps_the_worst_case(reading: StreamReading, meter: Meter) -> None:
    with pytest.raises(KeyError):
        reading.take(delta("Hello"))
    assert meter.usage is not None
    assert (meter.usage.output_tokens, meter.usage.estimated) == (1_000, True)


def test_other_content_types_are_not_text(reading: StreamReading) -> None:
    reading.take(start())
    thinking = SimpleNamespace(type="content_block_delta", delta=SimpleNamespace(type="thinking_delta", thinking="hm"))
    assert reading.take(thinking) == ""


def test_a_stream_cut_off_after_thinking_is_metered_at_its_token_limit(reading: StreamReading, meter: Meter) -> None:
    """The provider bills thinking that it does not send."""
    for event in (start(), SimpleNamespace(type="content_block_start", content_block=SimpleNamespace(type="thinking")), delta("Hello")):
        reading.take(event)
    assert meter.usage == TokenUsage(MODEL, 40, 1_000, 7, 0, estimated=True)


@pytest.mark.parametrize("count", [-3, 2**31, 1.5, "9", True, None, [], float("nan")], ids=str)
def test_a_stream_with_impossible_usage_keeps_the_estimate(reading: StreamReading, meter: Meter, count: Any) -> None:
    for event in (start(input_tokens=count, cache_read_input_tokens=count), delta("Hello"), end(output_tokens=9), STOP):
        reading.take(event)
    assert reading.answer().text == "Hello"
    assert meter.usage == TokenUsage(MODEL, 8, 2 + IN_FLIGHT_TOKENS, 0, 0, estimated=True)


def test_a_meter_starts_empty_becomes_the_worst_case_and_is_cleared_by_a_refusal() -> None:
    meter = Meter()
    assert meter.usage is None
    meter.sent(PROMPT)
    assert meter.usage == TokenUsage("claude-sonnet-5-5", 6 + 2, 1_000, estimated=True)
    meter.refused()
    assert meter.usage is None


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"])
@pytest.mark.parametrize("count", [-3, 2**31, 10**400, 1.5, "9", True, [1], float("inf")], ids=lambda count: str(count)[:20])
def test_impossible_usage_of_a_whole_message_keeps_the_worst_case(meter: Meter, name: str, count: Any) -> None:
    worst = meter.usage
    metered(meter, MODEL, {"input_tokens": 1, "output_tokens": 2, name: count})
    assert meter.usage == worst


def test_usage_of_a_whole_message_is_exact() -> None:
    meter = Meter()
    metered(meter, MODEL, {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": None})
    assert meter.usage == TokenUsage(MODEL, 1, 2, 3, 0, estimated=False)
