"""The `error` event of a stream: where it stands among the messages."""

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
    """What the end of an rpc looks like from inside."""


class EndingContext:
    """As much of a call as the end of a stream needs."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """The caller sent nothing."""
        return ()

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        raise Aborted(code.name)


async def told(first: Message) -> Any:
    """The error event of a stream that fails after this message."""

    async def breaking(request: Any, context: Any) -> AsyncIterator[Message]:
        yield first
        raise ServiceUnavailable("this server stops", component="orchestrator")

    context: Any = EndingContext()
    messages = ErrorBoundary().around_stream("/agentmesh.x.v1.X/Y", breaking)(None, context)
    assert await anext(messages) is first
    error = await anext(messages)
    with pytest.raises(Aborted, match="UNAVAILABLE"):
        await anext(messages)
    return error


async def test_a_sequence_that_counts_goes_on() -> None:
    for first in (execution.StreamAgentResponse(sequence=7), event.WatchEventsResponse(sequence=7)):
        after = await told(first)
        assert (after.sequence, after.error.code) == (8, "SERVICE_UNAVAILABLE")


async def test_a_sequence_that_is_a_cursor_stays_where_it_is() -> None:
    """A reader who went on after 8 would never see the change that is going to be 8."""
    after = await told(workflow.WatchRunResponse(sequence=7))
    assert (after.sequence, after.error.code) == (7, "SERVICE_UNAVAILABLE")
