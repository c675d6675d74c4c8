"""The `error` event of a stream and its sequence number."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from agentmesh.event.v1 import event_service_pb2 as event
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.workflow.v1 import workflow_service_pb2 as workflow
from google.protobuf.message import Message

from mesh.errors import ServiceUnavailable
from mesh.rpc.interceptors.errors import ErrorBoundary


class Aborted(Exception):
    """Raised in place of grpc.aio.AbortError."""


class EndingContext:
    """The part of a servicer context that the end of a stream uses."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        raise Aborted(code.name)


async def error_event_after(first: Message) -> Any:
    """The error event of a stream that fails after the message `first`."""

    async def failing(request: Any, context: Any) -> AsyncIterator[Message]:
        yield first
        raise ServiceUnavailable("this server is stopping", component="orchestrator")

    context: Any = EndingContext()
    messages = ErrorBoundary().around_stream("/agentmesh.x.v1.X/Y", failing)(None, context)
    assert await anext(messages) is first
    error = await anext(messages)
    with pytest.raises(Aborted, match="UNAVAILABLE"):
        await anext(messages)
    return error


async def test_the_error_event_continues_a_counted_sequence() -> None:
    for first in (execution.StreamAgentResponse(sequence=7), event.WatchEventsResponse(sequence=7)):
        after = await error_event_after(first)
        assert (after.sequence, after.error.code) == (8, "SERVICE_UNAVAILABLE")


async def test_the_error_event_repeats_a_sequence_that_is_a_cursor() -> None:
    """A client that resumed after 8 would never see the change that becomes number 8."""
    after = await error_event_after(workflow.WatchRunResponse(sequence=7))
    assert (after.sequence, after.error.code) == (7, "SERVICE_UNAVAILABLE")
