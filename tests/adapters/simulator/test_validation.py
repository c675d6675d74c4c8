"""The simulator refuses the requests that the API refuses, with the API's errors, and does not charge for them."""

import uuid
from typing import Any

import pytest
from anthropic import AsyncAnthropic, AuthenticationError, BadRequestError, NotFoundError, RequestTooLargeError

from tests.adapters.simulator.conftest import Simulator

# The SDK warns about some retired names, which these tests use deliberately.
pytestmark = pytest.mark.filterwarnings("ignore:The model")

GOOD: dict[str, Any] = {"model": "claude-sonnet-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}]}
HEADERS = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
MARK = {"cache_control": {"type": "ephemeral"}}
TEXT = {"type": "text", "text": "x"}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model: Input should be a valid string"),
    ({"max_tokens": "10"}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 128_001}, "128001 > 128000"),
    ({"messages": []}, "at least one message"),
    ({"messages": "Hello"}, "messages: Input should be a valid list"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "text content blocks must be non-empty"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0.type"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, "prefill"),
    ({"system": [{"type": "text", "text": ""}]}, "text content blocks must be non-empty"),
    ({"system": 7}, "system"),
    ({"system": [TEXT | MARK] * 5}, "Found 5"),
    ({"system": [TEXT | {"cache_control": {"type": "ephemeral", "ttl": "1d"}}]}, "cache_control"),
    ({"temperature": 0.5}, "temperature"),
    ({"top_p": 0.5}, "top_p"),
    ({"top_k": 5}, "top_k"),
    ({"stream": "yes"}, "stream"),
    ({"tools": {}}, "tools"),
    ({"output_config": {"format": {"type": "text"}}}, "output_config.format"),
    ({"temprature": 1}, "temprature: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
async def test_an_invalid_request_is_refused(simulator: Simulator, change: dict[str, Any], message: str) -> None:
    async with simulator.http.post(f"{simulator.url}/v1/messages", json=GOOD | change, headers=HEADERS) as response:
        body = await response.json()
    assert response.status == 400
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    assert message in body["error"]["message"]
    assert body["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize("missing", ["model", "max_tokens", "messages"])
async def test_a_missing_field_is_named(simulator: Simulator, missing: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != missing}
    async with simulator.http.post(f"{simulator.url}/v1/messages", json=body, headers=HEADERS) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"] == f"{missing}: Field required"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b'"x"', b"[" * 100_000, b'{"model": "\\ud800"}'], ids=range(7))
async def test_a_body_that_is_not_a_json_object_is_refused(simulator: Simulator, raw: bytes) -> None:
    async with simulator.http.post(f"{simulator.url}/v1/messages", data=raw, headers=HEADERS) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_an_unpaired_surrogate_is_refused(simulator: Simulator) -> None:
    raw = b'{"model": "claude-sonnet-5-5", "max_tokens": 5, "messages": [{"role": "user", "content": "\\ud800"}]}'
    async with simulator.http.post(f"{simulator.url}/v1/messages", data=raw, headers=HEADERS) as response:
        assert response.status == 400


async def test_the_sdk_receives_a_bad_request_with_type_and_request_id(client: AsyncAnthropic) -> None:
    with pytest.raises(BadRequestError) as refused:
        await client.messages.create(**GOOD, extra_body={"temperature": 0.2})
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id is not None
    assert refused.value.request_id.startswith("req_")


async def test_a_request_without_a_key_is_not_authenticated(client: AsyncAnthropic) -> None:
    with pytest.raises(AuthenticationError, match="x-api-key header is required"):
        await client.messages.create(**GOOD, extra_headers={"authorization": "Bearer "})


@pytest.mark.parametrize("key", [{"x-api-key": "any"}, {"authorization": "Bearer any"}], ids=["x-api-key", "bearer"])
async def test_any_key_is_accepted(simulator: Simulator, key: dict[str, str]) -> None:
    headers = {"anthropic-version": "2023-06-01", **key}
    async with simulator.http.post(f"{simulator.url}/v1/messages", json=GOOD, headers=headers) as response:
        assert response.status == 200


async def test_a_request_without_a_version_is_refused(simulator: Simulator) -> None:
    async with simulator.http.post(f"{simulator.url}/v1/messages", json=GOOD, headers={"x-api-key": "any"}) as response:
        assert response.status == 400
        assert "anthropic-version" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    "model",
    ["claude-3-5-sonnet-20241022", "claude-2.1", "claude-instant-1.2", "claude-opus-4-20250514", "gpt-5", "sim-nothing", "sim-500-3"],
)
async def test_a_retired_or_unknown_model_is_not_found(client: AsyncAnthropic, model: str) -> None:
    with pytest.raises(NotFoundError, match=model) as refused:
        await client.messages.create(**GOOD | {"model": model})
    assert refused.value.type == "not_found_error"


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-opus-5", "claude-haiku-4-5-20251001", "claude-sonnet-4-5"])
async def test_a_current_model_is_found(client: AsyncAnthropic, model: str) -> None:
    assert (await client.messages.create(**GOOD | {"model": model})).model == model


async def test_counting_refuses_the_same_requests(client: AsyncAnthropic) -> None:
    with pytest.raises(BadRequestError, match="at least one message"):
        await client.messages.count_tokens(model="claude-sonnet-5-5", messages=[])
    with pytest.raises(NotFoundError):
        await client.messages.count_tokens(model="claude-2.1", messages=GOOD["messages"])


async def test_a_body_over_32_mib_is_too_large(client: AsyncAnthropic) -> None:
    with pytest.raises(RequestTooLargeError) as refused:
        await client.messages.create(**GOOD | {"messages": [{"role": "user", "content": "x" * (33 * 1024 * 1024)}]})
    assert refused.value.status_code == 413


async def test_an_unknown_path_is_not_found_with_an_error_of_the_same_form(simulator: Simulator) -> None:
    async with simulator.http.get(f"{simulator.url}/v1/models") as response:
        assert response.status == 404
        assert (await response.json())["error"]["type"] == "not_found_error"


async def test_a_refused_request_is_logged_and_not_billed(simulator: Simulator, client: AsyncAnthropic) -> None:
    execution = str(uuid.uuid4())
    with pytest.raises(NotFoundError):
        await client.messages.create(**GOOD | {"model": "claude-2.1"}, extra_headers={"x-agentmesh-execution-id": execution})
    ended = await simulator.ended(execution)
    assert (ended["outcome"], ended["status"], ended["billed"]) == ("error:not_found_error", 404, False)
    assert (ended["input_tokens"], ended["output_tokens"]) == (0, 0)
