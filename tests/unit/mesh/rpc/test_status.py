"""The error table in both directions: the caller receives the error that the service raised, and it always fits into the metadata."""

import json
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError, RemoteError, ServiceUnavailable, ValidationFailed, Violation
from mesh.rpc.envelope import ENVELOPE_TRAILER, envelope_trailers
from mesh.rpc.status import DETAILS_BYTES, DOMAIN, TABLE, error_of, find, retryable, status_of, summary
from tests.unit.mesh.conftest import AsReceived

REASONS = sorted(TABLE)
RATE_LIMIT = "RATE_LIMIT_EXCEEDED"
MOST_METADATA_BYTES = 8 * 1024
SENT_AS_IT_IS = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""gRPC percent-encodes the other characters in a status message."""


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_maps_to_its_row_and_back(reason: str, as_received: AsReceived) -> None:
    given_error = RemoteError(reason, "what happened", details={"agent_id": "a_agent_1_1"})
    failure = as_received(given_error)
    assert failure.code() is TABLE[reason].code
    error = error_of(failure)
    assert error is not None
    assert (error.reason, error.message, error.details) == (reason, "what happened", {"agent_id": "a_agent_1_1"})
    assert retryable(error) is TABLE[reason].retryable


@pytest.mark.parametrize("reason", REASONS)
def test_a_status_carries_its_reason_domain_and_request_id(reason: str) -> None:
    status = status_of(RemoteError(reason, "x"), "req_abc")
    info = find(status, error_details_pb2.ErrorInfo())
    request = find(status, error_details_pb2.RequestInfo())
    assert info is not None
    assert request is not None
    assert (info.reason, info.domain, request.request_id) == (reason, "agentmesh", "req_abc")
    assert status.code == TABLE[reason].code.value[0]
    assert find(status, error_details_pb2.BadRequest()) is None


@pytest.mark.parametrize("own_retryable", [True, False])
@pytest.mark.parametrize("reason", ["LLM_API_ERROR", "VALIDATION_ERROR"])
def test_an_errors_own_retryable_overrides_the_table(reason: str, own_retryable: bool, as_received: AsReceived) -> None:
    error = error_of(as_received(RemoteError(reason, "x", retryable=own_retryable)))
    assert error is not None
    assert error.retryable is own_retryable
    assert retryable(error) is own_retryable
    assert "retryable" not in error.details


@pytest.mark.parametrize("reason", REASONS)
def test_only_429_and_503_have_retry_after_by_default(reason: str, as_received: AsReceived) -> None:
    error = error_of(as_received(RemoteError(reason, "x")))
    assert error is not None
    assert error.retry_after_seconds == (1 if TABLE[reason].http_status in (429, 503) else None)


@pytest.mark.parametrize(
    ("requested", "sent"), [(0, 1), (0.2, 1), (1, 1), (1.01, 2), (30, 30), (1e300, 86_400), (float("inf"), 86_400), (-5, 1)]
)
def test_retry_after_is_a_whole_number_of_seconds_up_to_a_day(requested: float, sent: int, as_received: AsReceived) -> None:
    error = error_of(as_received(ServiceUnavailable("x", retry_after_seconds=requested)))
    assert error is not None
    assert error.retry_after_seconds == sent


def test_retry_after_can_be_set_for_any_reason(as_received: AsReceived) -> None:
    error = error_of(as_received(RemoteError("LLM_API_ERROR", "x", retry_after_seconds=7)))
    assert error is not None
    assert error.retry_after_seconds == 7


def test_every_violation_arrives(as_received: AsReceived) -> None:
    violations = [Violation("input", "must not be empty"), Violation("tasks[2].agent_id", "must be an agent's id")]
    error = error_of(as_received(ValidationFailed("two things", violations=violations)))
    assert error is not None
    assert list(error.violations) == violations


@pytest.mark.parametrize("message", ["x" * 5_000, "é" * 5_000, "😀" * 5_000, "%" * 5_000, "\n" * 5_000, ""])
@pytest.mark.parametrize("description", ["must be shorter", "muß kürzer sein " * 100])
def test_excess_violations_are_omitted_and_counted(message: str, description: str) -> None:
    violations = [Violation(f"context.list[{i}].name", description) for i in range(700)]
    status = status_of(ValidationFailed(message, violations=violations, detail="d" * 400), "req_" + "x" * 60)
    bad, info = find(status, error_details_pb2.BadRequest()), find(status, error_details_pb2.ErrorInfo())
    assert bad is not None
    assert info is not None
    assert len(bad.field_violations) + int(info.metadata["field_violations_omitted"]) == 700
    assert [v.field for v in bad.field_violations] == [v.field for v in violations[: len(bad.field_violations)]]
    assert len(bad.field_violations) >= 2
    assert status.ByteSize() <= DETAILS_BYTES
    assert status.ByteSize() + len(quote(summary(status), safe=SENT_AS_IT_IS)) + 500 < MOST_METADATA_BYTES


def test_long_texts_are_truncated_and_short_ones_kept(as_received: AsReceived) -> None:
    details = {f"long_{i}": "ö" * 10_000 for i in range(40)} | {"agent_id": "a_agent_1_1", "input_tokens": "12"}
    failure = as_received(RemoteError("LLM_API_ERROR", "m" * 100_000, details=details))
    error = error_of(failure)
    assert error is not None
    assert (error.details["agent_id"], error.details["input_tokens"]) == ("a_agent_1_1", "12")
    kept = [key for key in error.details if key.startswith("long_")]
    assert kept
    assert int(error.details["details_omitted"]) == 40 - len(kept)
    assert all(len(error.details[key].encode()) <= 500 for key in kept)
    assert len(error.message) == 1_000


anything = st.text(st.characters(), max_size=2_000)


@given(
    reason=st.sampled_from(REASONS),
    message=anything,
    details=st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=50), anything, max_size=30),
    violations=st.lists(st.builds(Violation, anything, anything), max_size=30),
    wait=st.none() | st.floats(allow_nan=False),
    own_retryable=st.none() | st.booleans(),
)
def test_every_error_can_be_sent_with_an_ascii_envelope(
    reason: str, message: str, details: dict[str, str], violations: list[Violation], wait: float | None, own_retryable: bool | None
) -> None:
    error = RemoteError(reason, message, details=details, violations=violations, retry_after_seconds=wait, retryable=own_retryable)
    status = status_of(error, "req_x")
    assert status.ByteSize() <= DETAILS_BYTES
    assert len(summary(status).splitlines()) <= 1
    trailers = dict(envelope_trailers(status))
    assert all(value.isascii() and value.isprintable() for value in trailers.values())
    assert json.loads(trailers[ENVELOPE_TRAILER])["error"]["code"] == reason


def test_details_from_another_process_may_have_any_name(as_received: AsReceived) -> None:
    named = {"message": "1", "self": "2", "violations": "3", "retry_after_seconds": "4"}
    error = error_of(as_received(RemoteError("INTERNAL", "x", details=named)))
    assert error is not None
    assert error.details == named


def status_without_mesh_details(**trailers: str | bytes) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*((name.replace("_", "-"), value) for name, value in trailers.items()))
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), metadata, "connection refused")


def status_with(reason: str, domain: str) -> bytes:
    status = status_pb2.Status(code=13)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
    return bytes(status.SerializeToString())


@pytest.mark.parametrize(
    "details",
    [
        b"",
        b"\xff\xfe not a status",
        status_with("INTERNAL", "googleapis.com"),
        status_with("NEWER_THAN_THIS_READER", DOMAIN),
        status_with("INTERNAL", DOMAIN).replace(b"INTERNAL", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    ],
    ids=["empty", "garbage", "another domain", "an unknown reason", "garbage inside"],
)
def test_an_unreadable_or_foreign_status_is_not_decoded(details: bytes) -> None:
    assert error_of(status_without_mesh_details(grpc_status_details_bin=details)) is None


def test_a_lost_connection_is_not_decoded() -> None:
    assert error_of(status_without_mesh_details()) is None


def test_a_forwarded_error_is_not_truncated_further(as_received: AsReceived) -> None:
    violations = [Violation(f"context.list[{i}]", "must be something that takes a few words to say") for i in range(300)]
    first = error_of(as_received(ValidationFailed("m" * 3_000, violations=violations, retryable=False, note="n" * 2_000)))
    assert first is not None
    second = error_of(as_received(first))
    assert second is not None
    assert (second.message, second.details, second.violations) == (first.message, first.details, first.violations)


def test_the_base_class_of_all_errors_is_internal() -> None:
    assert MeshError("x").reason == "INTERNAL"
    assert RATE_LIMIT in TABLE
