"""Checks requests by the rules of the Messages API, for the fields that the platform uses. Like the API, it reports the first violation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.simulator.errors import ApiError
from deploy.simulator.messages import output_schema

MAX_OUTPUT_TOKENS = 128_000
MAX_CACHE_BREAKPOINTS = 4
SAMPLING = ("temperature", "top_p", "top_k")
# MessageCreateParamsBase of the SDK 2.12. The API refuses unknown fields.
_FIELDS = """
cache_control container diagnostics inference_geo max_tokens messages metadata model output_config service_tier speed
stop_sequences stream system thinking tool_choice tools user_profile_id
"""
KNOWN_FIELDS = frozenset(_FIELDS.split())

Json = Mapping[str, Any]


def check_call(body: object) -> Json:
    """The body of a `POST /v1/messages`. Raises ApiError (400) if it is not valid."""
    fields = _check_prompt(body)
    _check_max_tokens(fields)
    if not isinstance(fields.get("stream", False), bool):
        raise ApiError.invalid("stream: Input should be a valid boolean")
    return fields


def check_count(body: object) -> Json:
    """The body of a `POST /v1/messages/count_tokens`. Raises ApiError (400) if it is not valid."""
    return _check_prompt(body)


def blocks_of(content: Any) -> Sequence[Json]:
    """The content of a message or a system prompt as blocks. Both may also be plain text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _check_prompt(body: object) -> Json:
    if not isinstance(body, dict):
        raise ApiError.invalid("The request body must be a JSON object")
    _check_names(body)
    if not isinstance(_required(body, "model"), str) or not body["model"]:
        raise ApiError.invalid("model: Input should be a valid string")
    _check_system(body.get("system", ""))
    _check_messages(_required(body, "messages"))
    _check_tools(body.get("tools"))
    _check_breakpoints(body)
    _check_output(body.get("output_config"))
    return body


def _check_names(body: Json) -> None:
    for name in SAMPLING:
        if body.get(name) is not None:
            raise ApiError.invalid(f"`{name}` is deprecated for this model.")
    for name in body.keys() - KNOWN_FIELDS - set(SAMPLING):
        raise ApiError.invalid(f"{name}: Extra inputs are not permitted")


def _required(body: Json, name: str, at: str = "") -> Any:
    if name not in body:
        raise ApiError.invalid(f"{at}{name}: Field required")
    return body[name]


def _check_max_tokens(body: Json) -> None:
    most = _required(body, "max_tokens")
    if not isinstance(most, int) or isinstance(most, bool):
        raise ApiError.invalid("max_tokens: Input should be a valid integer")
    if most < 0:
        raise ApiError.invalid("max_tokens: Input should be greater than or equal to 0")
    if most > MAX_OUTPUT_TOKENS:
        maximum = f"which is the maximum allowed number of output tokens for {body['model']}"
        raise ApiError.invalid(f"max_tokens: {most} > {MAX_OUTPUT_TOKENS}, {maximum}")


def _check_system(system: Any) -> None:
    if isinstance(system, str):
        return
    _check_blocks(system, "system")
    if any(block["type"] != "text" for block in system):
        raise ApiError.invalid("system: Input should be text blocks")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise ApiError.invalid("messages: Input should be a valid list")
    if not messages:
        raise ApiError.invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        _check_message(message, f"messages.{index}")
    if messages[-1]["role"] != "user":
        raise ApiError.invalid("This model does not support assistant message prefill. The conversation must end with a user message.")


def _check_message(message: Any, at: str) -> None:
    if not isinstance(message, dict):
        raise ApiError.invalid(f"{at}: Input should be an object")
    if _required(message, "role", f"{at}.") not in ("user", "assistant"):
        raise ApiError.invalid(f"{at}.role: Input should be 'user' or 'assistant'")
    content = _required(message, "content", f"{at}.")
    if content in ("", []):
        raise ApiError.invalid(f"{at}: user messages must have non-empty content")
    if not isinstance(content, str):
        _check_blocks(content, f"{at}.content")


def _check_blocks(blocks: Any, at: str) -> None:
    if not isinstance(blocks, list):
        raise ApiError.invalid(f"{at}: Input should be a valid string or list")
    for index, block in enumerate(blocks):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise ApiError.invalid(f"{at}.{index}.type: Field required")
        if block["type"] == "text":
            _check_text(block, f"{at}.{index}")


def _check_text(block: Json, at: str) -> None:
    text = _required(block, "text", f"{at}.")
    if not isinstance(text, str):
        raise ApiError.invalid(f"{at}.text: Input should be a valid string")
    if not text.strip():
        raise ApiError.invalid(f"{at}: text content blocks must be non-empty")


def _check_tools(tools: Any) -> None:
    if tools is not None and (not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools)):
        raise ApiError.invalid("tools: Input should be a valid list of objects")


def _check_breakpoints(body: Json) -> None:
    marks = [mark for mark in _cache_marks(body) if mark is not None]
    for mark in marks:
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h"):
            raise ApiError.invalid("cache_control: Input should be {'type': 'ephemeral', 'ttl': '5m' or '1h'}")
    if len(marks) > MAX_CACHE_BREAKPOINTS:
        raise ApiError.invalid(f"A maximum of {MAX_CACHE_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marks)}.")


def _cache_marks(body: Json) -> Iterator[Any]:
    yield body.get("cache_control")
    for tool in body.get("tools") or ():
        yield tool.get("cache_control")
    for block in blocks_of(body.get("system", "")):
        yield block.get("cache_control")
    for message in body["messages"]:
        for block in blocks_of(message["content"]):
            yield block.get("cache_control")


def _check_output(config: Any) -> None:
    if config is None:
        return
    if not isinstance(config, dict):
        raise ApiError.invalid("output_config: Input should be an object")
    wanted = config.get("format")
    if wanted is None:
        return
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema" or not isinstance(wanted.get("schema"), dict):
        raise ApiError.invalid("output_config.format: Input should be {'type': 'json_schema', 'schema': …}")
    output_schema.check(wanted["schema"])
