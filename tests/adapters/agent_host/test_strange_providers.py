"""Providers that behave as no simulator would: proxies in front of Anthropic, or programs that imitate it."""

import asyncio
import contextlib
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, cast

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_server.hosting import convert
from agent_server.hosting.calls import CallsInProgress
from agent_server.model.errors import AnswerIncomplete, ModelApiError, ModelApiTimeout
from agent_server.model.ports import Answer, Meter, Prompt
from agent_server.providers.anthropic.messages import AnthropicModel
from agent_server.turn.agent import Agent
from agent_server.turn.turn import Turn
from mesh.rpc.convert import usage_from_proto
from mesh.usage import TokenUsage
from tests.support.ports import any_free_port
from tests.unit.agent_server.conftest import define

KEY = "key-" + "0123456789" * 3
PROMPT = Prompt("claude-sonnet-5-5", "You help people.", "Hello", 1_000, "execution-1")
USAGE = {"input_tokens": 9, "output_tokens": 4}
MESSAGE = {"type": "message", "model": "m", "stop_reason": "end_turn", "usage": USAGE, "content": [{"type": "text", "text": "Hello"}]}
CLOSE = b""


def answer(status: str, body: object, content_type: str = "application/json", **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": content_type, "content-length": str(len(content)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


def error(status: str, kind: str, **headers: str) -> bytes:
    return answer(status, {"type": "error", "error": {"type": kind, "message": "no"}}, **headers)


FINE = answer("200 OK", MESSAGE)


def events(*documents: dict[str, Any]) -> bytes:
    body = "".join(f"event: {document['type']}\ndata: {json.dumps(document)}\n\n" for document in documents)
    return answer("200 OK", body.encode(), "text/event-stream")


@dataclass
class Provider:
    """Gives the next of its answers to each request, and repeats the last one."""

    answers: list[bytes] = field(default_factory=lambda: [FINE])
    requests: int = 0
    heads: list[str] = field(default_factory=list)
    """The head of each request, in lower case."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
                self.requests += 1
                self.heads.append(head)
                given = self.answers[min(self.requests, len(self.answers)) - 1]
                if given == CLOSE:
                    break
                writer.write(given)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has disconnected
        finally:
            writer.close()


@pytest.fixture
async def provider() -> Provider:
    return Provider()


@pytest.fixture
async def model(provider: Provider) -> AsyncIterator[AnthropicModel]:
    """The SDK, connected to this provider."""
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    async with AnthropicModel(KEY, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as model:
        yield model
    server.close()


async def whole(model: AnthropicModel, meter: Meter, timeout: float = 10) -> Answer:
    return await model.complete(PROMPT, meter, timeout)


async def streamed(model: AnthropicModel, meter: Meter, timeout: float = 10) -> Answer:
    pieces = cast(Any, model.stream(PROMPT, meter, timeout))
    async with aclosing(pieces):
        return cast(Answer, [piece async for piece in pieces][-1])


both = pytest.mark.parametrize("way", [whole, streamed])
Way = Callable[[AnthropicModel, Meter], Any]


async def failure(way: Way, model: AnthropicModel) -> tuple[ModelApiError, Meter]:
    meter = Meter()
    with pytest.raises(ModelApiError) as failed:
        await way(model, meter)
    assert KEY not in repr(failed.value) + failed.value.message
    return failed.value, meter


async def test_a_unary_request_equals_that_of_the_sdk(provider: Provider, model: AnthropicModel) -> None:
    """Except for the headers about its own timeouts, and one that HTTP/1.1 does not need."""
    await whole(model, Meter())
    address = re.search(r"host: (\S+)", provider.heads[0])
    assert address is not None
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=f"http://{address[1]}", http_client=anthropic.DefaultAioHttpClient()) as sdk:
        messages = [{"role": "user", "content": PROMPT.input}]
        extra = {"x-agentmesh-execution-id": PROMPT.execution_id}
        await sdk.messages.create(
            model=PROMPT.model, max_tokens=PROMPT.max_tokens, system=PROMPT.system, messages=cast(Any, messages), extra_headers=extra
        )
    documented_error, theirs = (dict(_lines(head)) for head in provider.heads)
    for unlike in ("x-stainless-timeout", "x-stainless-read-timeout", "connection"):
        theirs.pop(unlike)
    assert documented_error == theirs
    assert provider.heads[0].splitlines()[0] == provider.heads[1].splitlines()[0]


def _lines(head: str) -> list[tuple[str, str]]:
    return [(name, value) for line in head.splitlines()[1:] if line for name, _, value in [line.partition(": ")]]


@pytest.mark.parametrize("wait", [None, "nan", "-5", "Fri, 27 Nov 2026 10:00:00 GMT", "soon"])
async def test_a_429_without_retry_after_is_retried_once_within_a_second(
    provider: Provider, model: AnthropicModel, wait: str | None
) -> None:
    provider.answers = [error("429 Too Many", "rate_limit_error", **({"retry_after": wait} if wait else {})), FINE]
    began = monotonic()
    assert (await whole(model, Meter())).text == "Hello"
    assert 0.2 < monotonic() - began < 2
    assert provider.requests == 2


@both
async def test_an_infinite_retry_after_is_not_waited_for(provider: Provider, model: AnthropicModel, way: Way) -> None:
    provider.answers = [error("429 Too Many", "rate_limit_error", retry_after="inf")]
    failed, _ = await failure(way, model)
    assert (failed.retryable, provider.requests) == (True, 1)


@both
@pytest.mark.parametrize(("status", "kind"), [("401 Unauthorized", "authentication_error"), ("403 Forbidden", "permission_error")])
async def test_a_refused_key_names_the_setting_and_is_not_retried(
    provider: Provider, model: AnthropicModel, way: Way, status: str, kind: str
) -> None:
    provider.answers = [error(status, kind)]
    failed, meter = await failure(way, model)
    assert failed.retryable is False
    assert "ANTHROPIC_API_KEY" in failed.message
    assert (provider.requests, meter.usage) == (1, None)


@both
@pytest.mark.parametrize(
    ("status", "kind"), [("400 Bad", "invalid_request_error"), ("404 Not Found", "not_found_error"), ("413 Large", "request_too_large")]
)
async def test_a_request_that_can_never_succeed_is_not_retried(
    provider: Provider, model: AnthropicModel, way: Way, status: str, kind: str
) -> None:
    provider.answers = [error(status, kind)]
    failed, meter = await failure(way, model)
    assert (failed.retryable, failed.details["provider_error"]) == (False, kind)
    assert (provider.requests, meter.usage) == (1, None)


@both
@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Unavailable", "504 Timeout"])
async def test_an_html_page_of_a_proxy_is_retried_once(provider: Provider, model: AnthropicModel, way: Way, status: str) -> None:
    provider.answers = [answer(status, b"<html>" + b"x" * 5_000, "text/html")]
    failed, meter = await failure(way, model)
    assert (failed.retryable, failed.details["provider_status"], meter.usage) == (True, status[:3], None)
    assert len(failed.message) < 500
    assert provider.requests == 2


@both
@pytest.mark.parametrize("status", ["401 No", "403 Forbidden", "407 Proxy", "302 Elsewhere", "404 Not Found"])
@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json"])
async def test_the_error_for_a_proxys_page_does_not_mention_the_key(
    provider: Provider, model: AnthropicModel, way: Way, status: str, content_type: str
) -> None:
    provider.answers = [answer(status, {"error": "denied"} if "json" in content_type else b"<html>denied</html>", content_type)]
    failed, meter = await failure(way, model)
    assert "ANTHROPIC_API_KEY" not in failed.message
    assert f"status {status[:3]} ({content_type.partition(';')[0]}), not with the Messages API; check ANTHROPIC_BASE_URL" in failed.message
    assert (failed.retryable, provider.requests, meter.usage) == (False, 1, None)


@both
@pytest.mark.parametrize("status", [501, 505, 507, 520, 521, 522, 523, 524, 525, 526, 527, 530, 598, 599])
async def test_every_status_from_500_on_is_retried_once(provider: Provider, model: AnthropicModel, way: Way, status: int) -> None:
    provider.answers = [answer(f"{status} Broken", b"error code: " + str(status).encode(), "text/plain"), FINE]
    if way is whole:
        assert (await whole(model, Meter())).text == "Hello"
    else:
        provider.answers[1] = events(START, delta("Hello"), END, {"type": "message_stop"})
        assert (await streamed(model, Meter())).text == "Hello"
    assert provider.requests == 2
    provider.answers = provider.answers[:1]
    failed, meter = await failure(way, model)
    assert (failed.retryable, failed.details["provider_status"], meter.usage) == (True, str(status), None)


async def test_calls_refused_together_are_retried_at_different_times(provider: Provider, model: AnthropicModel) -> None:
    provider.answers = [error("429 Too Many", "rate_limit_error", retry_after="1")] * 12 + [FINE]
    began = monotonic()
    ended: list[float] = []

    async def ask() -> None:
        await whole(model, Meter())
        ended.append(monotonic() - began)

    await asyncio.gather(*(ask() for _ in range(12)))
    assert min(ended) >= 1
    assert max(ended) - min(ended) > 0.05


LARGE = 16_000_001


@both
@pytest.mark.parametrize("character", ["x", "ä"])
async def test_an_answer_over_16_mb_is_one_clear_error(provider: Provider, model: AnthropicModel, way: Way, character: str) -> None:
    text = character * (LARGE // len(character.encode()) + 1)
    if way is whole:
        provider.answers = [answer("200 OK", MESSAGE | {"content": [{"type": "text", "text": text}]})]
    else:
        size = len(text) // 100 + 1
        provider.answers = [events(START, *(delta(text[at : at + size]) for at in range(0, len(text), size)), END)]
    failed, meter = await failure(way, model)
    assert "the model's answer is larger than 16 MB, the most that the platform carries; ask for a shorter answer" in failed.message
    assert (failed.retryable, provider.requests) == (False, 1)
    assert meter.usage is not None


LINE = b": " + b" " * 2**16 + b"\n"
BOMB = gzip.compress(b": " + b" " * 2**27)


@both
@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ("", LINE, "response is larger than 1 MiB"),
        ("content-length: 99999999999\r\n", LINE, "response is larger than 1 MiB"),
        (f"content-length: {len(BOMB)}\r\ncontent-encoding: gzip\r\n", BOMB, "answered in the encoding 'gzip', which was not asked for"),
    ],
    ids=["endless", "a large length", "compressed"],
)
async def test_a_response_of_any_size_is_read_to_the_limit_only(
    way: Way, headers: str, body: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_server.providers.anthropic.http.LARGEST_RESPONSE_BYTES", 2**20)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{headers}\r\n".encode())
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(body)
                await writer.drain()

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
        async with AnthropicModel(KEY, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as model:
            failed, _ = await failure(way, model)
        server.close()
    assert message in failed.message
    assert failed.retryable is False


@both
async def test_a_connection_closed_without_an_answer_is_not_bought_twice(provider: Provider, model: AnthropicModel, way: Way) -> None:
    provider.answers = [CLOSE]
    failed, meter = await failure(way, model)
    assert (failed.retryable, provider.requests) == (True, 1)
    assert meter.usage is not None
    assert (meter.usage.output_tokens, meter.usage.estimated) == (1_000, True)


@both
async def test_a_refused_connection_bought_nothing(way: Way) -> None:
    async with AnthropicModel(KEY, f"http://127.0.0.1:{any_free_port()}") as model:
        failed, meter = await failure(way, model)
    assert (failed.retryable, meter.usage) == (True, None)
    assert "nothing was bought" in failed.message


# fmt: off
NO_MESSAGES: list[object] = [
    [], "text", None, 7, {}, {"error": "?"}, b"", b"<html>", b"[" * 100_000, MESSAGE | {"usage": None}, MESSAGE | {"content": None},
    MESSAGE | {"content": [{}]}, MESSAGE | {"content": [{"type": "text", "text": "\ud83d"}]},
]
# fmt: on


@pytest.mark.parametrize("body", NO_MESSAGES, ids=lambda body: str(body)[:40])
async def test_a_body_that_is_not_a_message_is_a_retryable_error(provider: Provider, model: AnthropicModel, body: object) -> None:
    provider.answers = [answer("200 OK", body)]
    failed, meter = await failure(whole, model)
    assert (failed.retryable, provider.requests) == (True, 1)
    assert meter.usage is not None


async def test_an_answer_with_an_unpaired_surrogate_costs_what_was_billed(provider: Provider, model: AnthropicModel) -> None:
    provider.answers = [answer("200 OK", MESSAGE | {"content": [{"type": "text", "text": "\ud83d"}]})]
    _, meter = await failure(whole, model)
    assert meter.usage == TokenUsage("m", USAGE["input_tokens"], USAGE["output_tokens"])


START: dict[str, Any] = {
    "type": "message_start",
    "message": MESSAGE | {"id": "m", "role": "assistant", "content": [], "stop_reason": None, "stop_sequence": None},
}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


END = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 4}}


def delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


@pytest.mark.parametrize(
    "given",
    [
        events(),
        events(delta("x")),
        events(START),
        events(START, delta("x")),
        events(START, delta("\ud83d")),
        events(OVERLOADED),
        events(START, OVERLOADED),
        answer("200 OK", b"<html>hello</html>", "text/html"),
        answer("200 OK", b"event: message_start\ndata: {\n\n", "text/event-stream"),
        answer("200 OK", b"event: message_start\ndata: []\n\n", "text/event-stream"),
        FINE,
    ],
    ids=["nothing", "no start", "only a start", "no stop", "half a letter", "error", "start, error", "page", "garbage", "list", "json"],
)
async def test_an_incomplete_stream_is_an_error_and_never_retried(provider: Provider, model: AnthropicModel, given: bytes) -> None:
    provider.answers = [given]
    failed, meter = await failure(streamed, model)
    assert (failed.retryable, provider.requests) == (True, 1)
    assert meter.usage is not None
    assert meter.usage.estimated


# fmt: off
PARTS: dict[str, list[object]] = {
    "input_tokens": [-3, 2**31, 2**70, 1.5, "9", None, True, [], {}],
    "output_tokens": [-1, 2**31, 10**30, "x", None, False],
    "model": ["", "m\x00n", "\ud83d", "m" * 10_000, None, 7, ["m"], {}],
    "id": ["", None, -1, "\x00"],
    "stop_reason": ["refusal", "max_tokens", "pause_turn", "tool_use", "", "something_new", "\x00\ud800", "s" * 10_000, None, 7, [],
                    {"a": 1}],
    "stop_sequence": [None, "STOP", "\x00", 7, ["x"]],
    "stop_details": [None, {"category": "cyber"}, {"category": "\x00"}, {"category": 7}, [], "x"],
    "content": [[], [{"type": "thinking", "thinking": "hm"}], [{"type": "text", "text": None}], [{"type": "new", "data": "x"}], [7],
                "text", None, [{"type": "text", "text": "Hello \x00"}], [{"type": "text", "text": "\ud83d"}],
                [{"type": "redacted_thinking", "data": "x"}]],
}
# fmt: on


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in PARTS.items()}))
async def test_every_message_ends_in_a_response_or_a_documented_error_with_usage_that_can_be_stored(
    parts: dict[str, Any],
) -> None:
    for way in ("whole", "streamed"):
        provider = Provider([FINE])
        server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
        async with server, AnthropicModel(KEY, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as model:
            provider.answers = [_strange(parts, way)]
            turn = Turn(Agent(define(), "claude-sonnet-5-5"), model, "simulator", text="Hi", context=None, execution_id="e")
            calls = CallsInProgress()
            try:
                if way == "whole":
                    response = await calls.whole("e", turn, 10, partial(convert.execute_response, "Helper"))
                    assert response.facts.turns == 1
                    usage: TokenUsage | None = usage_from_proto(response.usage)
                else:
                    frames = [event async for some in calls.frames("e", turn, 10, partial(convert.events, "Helper")) for event in some]
                    assert frames[-1].done.facts.turns == 1
                    usage = usage_from_proto(frames[-2].usage)
            except (ModelApiError, AnswerIncomplete) as failed:
                usage = TokenUsage.from_details(failed.details)
            server.close()
        assert usage is not None
        assert usage.model
        assert usage.model.isprintable()
        for count in (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens):
            assert 0 <= count < 2**31


def _strange(parts: dict[str, Any], way: str) -> bytes:
    """The message with these parts, as a whole or as a stream."""
    usage = USAGE | {name: parts[name] for name in USAGE if name in parts}
    message = MESSAGE | {"id": "m"} | {name: value for name, value in parts.items() if name not in USAGE} | {"usage": usage}
    if way == "whole":
        return answer("200 OK", message)
    begun = START | {"message": START["message"] | {name: message[name] for name in ("model", "id", "usage")}}
    content = [block for block in message["content"] if isinstance(block, dict)] if isinstance(message["content"], list) else []
    blocks = [[{"type": "content_block_start", "index": 0, "content_block": one}, delta(one.get("text", ""))] for one in content]
    stop = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    end = {"type": "message_delta", "delta": stop, "usage": usage}
    return events(begun, *(event for block in blocks for event in block), end, {"type": "message_stop"})


async def test_the_whole_call_is_bounded_even_if_every_read_is_fast() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(FINE.split(b"\r\n\r\n")[0] + b"\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.02)

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    async with server, AnthropicModel(KEY, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as slow:
        for way in (whole, streamed):
            began = monotonic()
            with pytest.raises(ModelApiTimeout):
                await way(slow, Meter(), 0.3)
            assert monotonic() - began < 2
        server.close()


@pytest.mark.parametrize("timeout", [0, -1])
async def test_without_time_no_request_is_sent_and_nothing_is_bought(provider: Provider, model: AnthropicModel, timeout: float) -> None:
    for way in (whole, streamed):
        meter = Meter()
        with pytest.raises(ModelApiTimeout):
            await way(model, meter, timeout)
        assert meter.usage is None
    assert provider.requests == 0
