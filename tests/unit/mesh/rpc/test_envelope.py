"""The REST error envelope and the `error` event of a stream, which share one rendering."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from google.protobuf import json_format
from google.rpc import status_pb2

from mesh.errors import MeshError, RemoteError, ServiceUnavailable, ValidationFailed, Violation
from mesh.rpc.envelope import ENVELOPE_TRAILER, RETRY_AFTER_TRAILER, STATUS_TRAILER, envelope_trailers, error_event, error_fields, timestamp
from mesh.rpc.status import status_of


def fields(error: MeshError) -> dict[str, Any]:
    return error_fields(status_of(error, "req_abc"))


def test_an_envelope_has_exactly_code_message_details_request_id_and_timestamp() -> None:
    error = fields(RemoteError("AGENT_NOT_FOUND", "not here", details={"port": "8201"}))
    before = datetime.now(UTC)
    assert abs(datetime.fromisoformat(error.pop("timestamp")) - before) < timedelta(seconds=5)
    assert error == {"code": "AGENT_NOT_FOUND", "message": "not here", "details": {"port": "8201"}, "request_id": "req_abc"}


def test_the_timestamp_is_utc_in_whole_seconds_with_a_z() -> None:
    assert timestamp(datetime(2026, 11, 23, 2, 5, 7, 999_999, UTC)) == "2026-11-23T02:05:07Z"


def test_a_time_in_another_zone_is_converted_to_utc() -> None:
    assert timestamp(datetime(2026, 11, 23, 2, 5, 7, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-23T00:05:07Z"


def test_violations_retry_after_and_retryable_are_details_with_their_own_types() -> None:
    error = ServiceUnavailable("x", violations=[Violation("input", "must not be empty")], retry_after_seconds=2.5, component="postgresql")
    assert fields(error)["details"] == {
        "component": "postgresql",
        "retryable": True,
        "retry_after_seconds": 3,
        "field_violations": [{"field": "input", "description": "must not be empty"}],
    }


def test_retryable_false_is_false() -> None:
    assert fields(RemoteError("LLM_API_ERROR", "x", retryable=False))["details"] == {"retryable": False}


def test_the_trailers_are_ascii_on_one_line_with_the_same_envelope() -> None:
    status = status_of(ValidationFailed.of("input", "darf nicht »leer« sein\n😀"), "req_abc")
    trailers = dict(envelope_trailers(status))
    assert trailers[ENVELOPE_TRAILER].isascii()
    assert trailers[ENVELOPE_TRAILER].isprintable()
    envelope = json.loads(trailers[ENVELOPE_TRAILER])["error"]
    assert {**envelope, "timestamp": ""} == {**error_fields(status), "timestamp": ""}
    assert envelope["message"] == "input: darf nicht »leer« sein\n😀"
    assert trailers[STATUS_TRAILER] == "422"
    assert RETRY_AFTER_TRAILER not in trailers


def test_the_trailers_have_retry_after() -> None:
    trailers = dict(envelope_trailers(status_of(ServiceUnavailable("x", retry_after_seconds=4), "req_abc")))
    assert (trailers[STATUS_TRAILER], trailers[RETRY_AFTER_TRAILER]) == ("503", "4")


def test_the_error_event_of_a_stream_has_the_same_fields() -> None:
    status = status_of(ServiceUnavailable("x", violations=[Violation("a", "b")], retry_after_seconds=4), "req_abc")
    event = json_format.MessageToDict(error_event(status), preserving_proto_field_name=True)
    assert {**event, "timestamp": ""} == {**error_fields(status), "timestamp": ""}


def test_a_status_of_another_domain_becomes_internal() -> None:
    assert error_fields(status_pb2.Status(code=13, message="?"))["code"] == "INTERNAL"
