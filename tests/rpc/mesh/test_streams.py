"""Streams: a failure after the first message is an error event and then a status; one before it is only a status."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb

from mesh.errors import RemoteError, ServiceUnavailable, ValidationFailed, Violation
from mesh.rpc.convert import values
from mesh.rpc.status import error_of
from tests.rpc.mesh.conftest import STREAM_REQUEST, Served, delta, trailers

FAILURE = RemoteError("LLM_API_ERROR", "the provider broke", retryable=True, details={"provider_status": "200"})


async def read(served: Served, *metadata: tuple[str, str]) -> tuple[list[pb.StreamExecuteResponse], grpc.aio.AioRpcError | None]:
    messages = []
    try:
        async for message in served.stub.StreamExecute(STREAM_REQUEST, metadata=metadata):
            messages.append(message)
    except grpc.aio.AioRpcError as failure:
        return messages, failure
    return messages, None


async def test_a_successful_stream_has_only_its_own_messages(served: Served) -> None:
    messages, failure = await read(served)
    assert ([message.sequence for message in messages], failure) == ([1, 2], None)


async def test_a_failure_after_the_first_message_is_an_error_event_and_then_the_same_status(served: Served) -> None:
    async def failing_midway(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        yield delta(1)
        yield delta(2)
        raise FAILURE

    served.service.stream = failing_midway
    messages, failure = await read(served, ("x-request-id", "req_abc"))
    assert [(message.sequence, message.WhichOneof("event")) for message in messages] == [(1, "delta"), (2, "delta"), (3, "error")]
    event = messages[-1].error
    assert (event.code, event.message, event.request_id) == ("LLM_API_ERROR", "the provider broke", "req_abc")
    assert dict(event.details) == {"retryable": True, "provider_status": "200"}
    assert failure is not None
    assert failure.code() is grpc.StatusCode.INTERNAL
    error = error_of(failure)
    assert error is not None
    assert (error.reason, error.message, error.details) == ("LLM_API_ERROR", "the provider broke", {"provider_status": "200"})


async def test_a_failure_before_the_first_message_is_only_a_status(served: Served) -> None:
    async def failing_at_once(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        raise FAILURE
        yield delta(1)

    served.service.stream = failing_at_once
    messages, failure = await read(served)
    assert messages == []
    assert failure is not None
    error = error_of(failure)
    assert error is not None
    assert error.reason == "LLM_API_ERROR"


async def test_the_text_of_an_unexpected_failure_is_in_neither_event_nor_status(served: Served) -> None:
    async def failing_midway(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        yield delta(7)
        raise RuntimeError("password=hunter2")

    served.service.stream = failing_midway
    messages, failure = await read(served)
    assert (messages[-1].sequence, messages[-1].error.code) == (8, "INTERNAL")
    assert "hunter2" not in repr(messages) + repr(failure)


async def test_the_error_event_has_violations_and_retry_after(served: Served) -> None:
    async def failing_midway(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        yield delta(1)
        raise ServiceUnavailable("x", retry_after_seconds=4, violations=[Violation("input", "must be shorter")])

    served.service.stream = failing_midway
    messages, _ = await read(served)
    assert values(messages[-1].error.details, "details") == {
        "retryable": True,
        "retry_after_seconds": 4,
        "field_violations": [{"field": "input", "description": "must be shorter"}],
    }


async def test_a_transcoded_stream_that_fails_at_once_gets_the_envelope(served: Served) -> None:
    async def failing_at_once(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        raise ValidationFailed.of("context", "must contain only finite numbers")
        yield delta(1)

    served.service.stream = failing_at_once
    _, failure = await read(served, ("x-envoy-original-path", "/api/v1/x"))
    assert failure is not None
    assert trailers(failure)["x-mesh-status"] == "422"


async def test_an_invalid_request_is_refused_before_the_stream_begins(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await served.stub.StreamExecute(pb.StreamExecuteRequest()).read()
    error = error_of(failed.value)
    assert error is not None
    assert [violation.field for violation in error.violations] == ["input"]


async def test_a_client_that_disconnects_ends_the_handler(served: Served) -> None:
    ended = asyncio.Event()

    async def endless(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        try:
            yield delta(1)
            await asyncio.Event().wait()
        finally:
            ended.set()

    served.service.stream = endless
    call = served.stub.StreamExecute(STREAM_REQUEST)
    await call.read()
    call.cancel()
    async with asyncio.timeout(1):
        await ended.wait()
