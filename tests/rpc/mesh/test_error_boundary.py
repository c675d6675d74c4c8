"""Every exception of a service and every malformed request become a documented status, and the server keeps running."""

import json

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs

from mesh.errors import MeshError, RemoteError, ServiceUnavailable, ValidationFailed, Violation
from mesh.rpc.envelope import error_fields
from mesh.rpc.status import TABLE, error_of, find
from tests.rpc.mesh.conftest import REQUEST, Served, trailers

SECRET = "password=hunter2"


def status_in(failure: grpc.aio.AioRpcError) -> status_pb2.Status:
    return status_pb2.Status.FromString(trailers(failure)["grpc-status-details-bin"])


async def failed_with(served: Served, error: Exception, *metadata: tuple[str, str]) -> grpc.aio.AioRpcError:
    async def fail(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        raise error

    served.service.execute = fail
    return await served.refused(*metadata)


@pytest.mark.parametrize("reason", sorted(TABLE))
async def test_every_reason_is_received_with_its_code_as_the_same_error(served: Served, reason: str) -> None:
    failure = await failed_with(served, RemoteError(reason, "what happened", details={"agent_id": "a"}))
    assert failure.code() is TABLE[reason].code
    error = error_of(failure)
    assert error is not None
    assert (error.reason, error.message, error.details) == (reason, "what happened", {"agent_id": "a"})


async def test_bytes_that_are_not_protobuf_are_a_validation_error_without_field_violations_and_the_next_call_works(served: Served) -> None:
    for garbage in (b"\xff\xff\xff", b"\x12\x05abc", bytes(range(256))):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await served.raw()(garbage)
        status = status_in(failed.value)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error_fields(status)["code"] == "VALIDATION_ERROR"
        assert find(status, error_details_pb2.BadRequest()) is None
        assert "DecodeError" not in str(failed.value.details())
    assert (await served.stub.Execute(REQUEST)).result == "fine"


async def test_a_string_that_is_not_utf8_is_a_validation_error_that_names_its_field(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await served.raw()(b"\x12\x02\xc3\x28")
    violations = find(status_in(failed.value), error_details_pb2.BadRequest())
    assert violations is not None
    assert [(one.field, one.description) for one in violations.field_violations] == [("input", "must be valid UTF-8")]


async def test_undecodable_bytes_are_a_validation_error_in_a_stream_too(served: Served) -> None:
    call = served.raw_stream()(b"\xff\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.read()
    assert error_fields(status_in(failed.value))["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("error", [RuntimeError(SECRET), KeyError(SECRET), AssertionError(SECRET), TimeoutError(SECRET)], ids=repr)
async def test_an_unexpected_exception_is_internal_and_its_text_is_only_logged(served: Served, error: Exception) -> None:
    with capture_logs() as logs:
        failure = await failed_with(served, error, ("x-request-id", "req_abc"))
    assert failure.code() is grpc.StatusCode.INTERNAL
    assert SECRET not in repr(failure)
    assert SECRET.encode() not in status_in(failure).SerializeToString()
    assert error_fields(status_in(failure))["request_id"] == "req_abc"
    (logged,) = (line for line in logs if line["event"] == "unexpected_error")
    assert logged["exc_info"] is error


async def test_an_unimplemented_rpc_is_not_implemented(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await served.stub.Cancel(pb.CancelRequest(execution_id="e"))
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
    error = error_of(failed.value)
    assert error is not None
    assert error.reason == "NOT_IMPLEMENTED"


async def test_an_unknown_rpc_gets_grpcs_own_unimplemented(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await served.raw("Fly")(b"")
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error_of(failed.value) is None


async def test_a_transcoded_call_gets_the_envelope_in_ascii_trailers(served: Served) -> None:
    error = ServiceUnavailable("die Datenbank läuft nicht 😀\n", retry_after_seconds=3, component="postgresql")
    failure = await failed_with(served, error, ("x-envoy-original-path", "/api/v1/x"), ("x-request-id", "req_abc"))
    found = trailers(failure)
    assert found["x-mesh-envelope"].isascii()
    envelope = json.loads(found["x-mesh-envelope"])["error"]
    assert {**envelope, "timestamp": ""} == {**error_fields(status_in(failure)), "timestamp": ""}
    assert envelope["message"] == "die Datenbank läuft nicht 😀\n"
    assert (found["x-mesh-status"], found["retry-after"], found["x-request-id"]) == ("503", "3", "req_abc")


async def test_a_native_call_gets_no_envelope(served: Served) -> None:
    found = trailers(await failed_with(served, MeshError("x")))
    assert set(found) == {"grpc-status-details-bin", "x-request-id"}


@pytest.mark.parametrize("letter", ["x", "é", "😀", "%", "\n", "\u0000"])
async def test_the_largest_error_fits_into_a_clients_metadata(served: Served, letter: str) -> None:
    """gRPC clients refuse 8 KiB with RESOURCE_EXHAUSTED, and the reason would be lost."""
    violations = [Violation(f"context.list[{i}]", "must be something else" + letter * 20) for i in range(500)]
    error = ValidationFailed(letter * 5_000, violations=violations, retryable=False, note=letter * 5_000, other=letter * 5_000)
    failure = await failed_with(served, error, ("x-request-id", "req_" + "y" * 60))
    assert failure.code() is grpc.StatusCode.INVALID_ARGUMENT
    received = error_of(failure)
    assert received is not None
    assert len(received.violations) + int(received.details["field_violations_omitted"]) == 500


async def test_a_call_that_the_client_cancels_is_not_answered_and_the_next_one_works(served: Served) -> None:
    call = served.stub.Execute(REQUEST)
    call.cancel()
    with pytest.raises(BaseException):  # noqa: B017, PT011 (CancelledError is no Exception)
        await call
    assert (await served.stub.Execute(REQUEST)).result == "fine"
