"""Structured output: the answer is a JSON document that satisfies the requested schema."""

import json
from typing import Any, Literal

import jsonschema_rs
import pytest
from anthropic import AsyncAnthropic, BadRequestError
from pydantic import BaseModel

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "severity": {"enum": ["low", "medium", "high"]},
        "kind": {"const": "finding"},
        "score": {"type": "number"},
        "count": {"type": "integer"},
        "urgent": {"type": "boolean"},
        "due": {"type": "string", "format": "date"},
        "contact": {"anyOf": [{"type": "null"}, {"type": "string", "format": "email"}]},
        "note": {"type": ["string", "null"]},
        "nothing": {"type": "null"},
        "findings": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/finding"}},
        "both": {"allOf": [{"$ref": "#/$defs/finding"}]},
    },
    "required": ["summary", "severity", "kind", "score", "count", "urgent", "due", "contact", "note", "nothing", "findings", "both"],
    "additionalProperties": False,
    "$defs": {
        "finding": {
            "type": "object",
            "properties": {"title": {"type": "string"}},
            "required": ["title"],
            "additionalProperties": False,
        }
    },
}


def question(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "model": "claude-sonnet-5-5",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": "Traffic fell 23% after the migration."}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
        **more,
    }


async def test_the_document_satisfies_the_schema_and_is_marked_as_simulated(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question(SCHEMA))
    text = message.content[0].text
    document = json.loads(text)
    jsonschema_rs.Draft202012Validator(SCHEMA, validate_formats=True).validate(document)
    assert "simulated answer" in document["summary"]
    assert "Traffic fell 23%" in text
    assert message.stop_reason == "end_turn"


async def test_a_streamed_document_is_the_same(client: AsyncAnthropic) -> None:
    whole = await client.messages.create(**question(SCHEMA))
    async with client.messages.stream(**question(SCHEMA)) as stream:
        assert await stream.get_final_text() == whole.content[0].text


class Finding(BaseModel):
    title: str
    severity: Literal["low", "high"]


class Audit(BaseModel):
    summary: str
    findings: list[Finding]
    owner: str | None


async def test_the_sdks_parse_helper_fills_a_pydantic_model(client: AsyncAnthropic) -> None:
    asked = question(SCHEMA)
    del asked["output_config"]
    parsed = (await client.messages.parse(**asked, output_format=Audit)).parsed_output
    assert parsed is not None
    assert parsed.findings[0].severity in ("low", "high")


async def test_a_document_truncated_by_max_tokens_is_not_json(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question(SCHEMA) | {"max_tokens": 10})
    assert message.stop_reason == "max_tokens"
    with pytest.raises(json.JSONDecodeError):
        json.loads(message.content[0].text)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "object", "properties": {}}, "additionalProperties"),
        ({"type": "integer", "minimum": 1}, "minimum"),
        ({"type": "string", "maxLength": 5}, "maxLength"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, "minItems"),
        ({"$ref": "#/$defs/absent"}, "#/$defs/absent"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}, "Recursive"),
        ({"type": "object", "properties": [], "additionalProperties": False}, "valid JSON Schema"),
        ({"type": "array", "items": True}, "an object"),
        ({}, "needs a 'type'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_schema_that_the_api_does_not_accept_is_refused(client: AsyncAnthropic, schema: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequestError, match=message.replace("$", r"\$")):
        await client.messages.create(**question(schema))
