"""Server-Sent Events as their clients use them: ids, Last-Event-ID, and 204 at the end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from agentmesh.event.v1 import event_pb2, event_service_pb2
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.workflow.v1 import workflow_pb2, workflow_service_pb2

from mesh.rpc.envelope import NO_CONTENT
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import Gateway
from tests.contract.gateway.wire import error_of, events_of

RUN = "/api/v1/runs/0192f0c1-0000-7000-8000-000000000000/watch"
EVENTS = "/api/v1/events/watch"
LAST = 3


async def watched_run(request: Any, context: Any) -> AsyncIterator[Any]:
    """A finished run with three changes; a watch resumed at its end has no events."""
    if request.after_sequence >= LAST:
        context.set_trailing_metadata(NO_CONTENT)
        return
    for sequence in range(request.after_sequence + 1, LAST + 1):
        yield workflow_service_pb2.WatchRunResponse(sequence=sequence, run=workflow_service_pb2.RunChange(run=workflow_pb2.Run(run_id="a")))
    yield workflow_service_pb2.WatchRunResponse(sequence=LAST, done=workflow_service_pb2.WatchDone())


async def watched_log(request: Any, context: Any) -> AsyncIterator[Any]:
    """Two events and a heartbeat, at positions that are not their sequences."""
    begin = request.after_position if request.HasField("after_position") else 40
    for sequence in (1, 2):
        event = event_pb2.Event(event_type="a.b", position=begin + sequence)
        event.data.update({"position": "7", "text": 'data: {"sequence":9,'})
        yield event_service_pb2.WatchEventsResponse(sequence=sequence, logged=event)
    yield event_service_pb2.WatchEventsResponse(sequence=3, heartbeat=event_service_pb2.EventHeartbeat(position=begin + 5))


def ids_of(text: str) -> list[str]:
    return [line.removeprefix("id: ") for line in text.split("\n") if line.startswith("id: ")]


async def test_every_event_of_a_run_has_its_sequence_as_id(gateway: Gateway, backend: Backend) -> None:
    backend.script.events = watched_run
    response = await gateway.http.get(RUN)
    assert ids_of(response.text) == ["1", "2", "3", "3"]
    assert [event["sequence"] for event in events_of(response.text)] == [1, 2, 3, 3]


async def test_every_event_of_the_log_has_its_position_as_id(gateway: Gateway, backend: Backend) -> None:
    backend.script.events = watched_log
    response = await gateway.http.get(EVENTS)
    assert ids_of(response.text) == ["41", "42", "45"]
    assert len(events_of(response.text)) == 3


async def test_the_events_of_an_answer_have_ids_and_unchanged_text(gateway: Gateway, backend: Backend) -> None:
    text = 'a\ndata: {"sequence":7,"x":1}\n\nid: 9 %1 ü🚀' + "x" * 100_000

    async def many(request: Any, context: Any) -> AsyncIterator[Any]:
        for sequence in range(1, 60):
            yield execution.StreamAgentResponse(sequence=sequence, delta=execution.Delta(text=text))

    backend.script.events = many
    response = await gateway.http.post(f"/api/v1/agents/{AGENT_ID}/stream", json={"input": "x"})
    assert ids_of(response.text) == [str(number) for number in range(1, 60)]
    assert {event["delta"]["text"] for event in events_of(response.text)} == {text}


@pytest.mark.parametrize("query", ["", "?", "?after_sequence=1"])
async def test_last_event_id_resumes_a_watch_without_a_cursor(gateway: Gateway, backend: Backend, query: str) -> None:
    backend.script.events = watched_run
    response = await gateway.http.get(RUN + query, headers={"last-event-id": "2"})
    assert ids_of(response.text) == (["2", "3", "3"] if "after" in query else ["3", "3"])


async def test_last_event_id_resumes_the_log(gateway: Gateway, backend: Backend) -> None:
    backend.script.events = watched_log
    response = await gateway.http.get(f"{EVENTS}?event_type=a.b", headers={"last-event-id": "100"})
    assert (backend.script.requests[-1].after_position, backend.script.requests[-1].event_type) == (100, "a.b")
    assert ids_of(response.text) == ["101", "102", "105"]
    await gateway.http.get(f"{EVENTS}?afterPosition=5", headers={"last-event-id": "100"})
    assert backend.script.requests[-1].after_position == 5


async def test_an_interrupted_watch_resumes_after_the_last_event_received(gateway: Gateway, backend: Backend) -> None:
    backend.script.events = watched_run
    async with gateway.http.stream("GET", RUN) as response:
        seen = [line async for line in response.aiter_lines() if line.startswith("id: ")][:2]
    resumed = await gateway.http.get(RUN, headers={"last-event-id": seen[-1].removeprefix("id: ")})
    assert ids_of(resumed.text) == ["3", "3"]


async def test_a_watch_resumed_at_its_end_is_204(gateway: Gateway, backend: Backend) -> None:
    """Clients of Server-Sent Events reconnect after a stream has ended, and stop only at 204."""
    backend.script.events = watched_run
    for response in (await gateway.http.get(RUN, headers={"last-event-id": "3"}), await gateway.http.get(f"{RUN}?after_sequence=3")):
        assert (response.status_code, response.content) == (204, b"")
        assert "content-type" not in response.headers
        assert not [name for name in response.headers if name.startswith(("grpc-", "x-mesh-"))]
    assert (await gateway.http.get("/health")).status_code == 200


@pytest.mark.parametrize("given", ["abc", "-1", "1 2", "1" * 21])
async def test_an_id_of_another_stream_is_refused(gateway: Gateway, backend: Backend, given: str) -> None:
    backend.script.events = watched_run
    error = error_of(await gateway.http.get(RUN, headers={"last-event-id": given}), 422, "VALIDATION_ERROR")
    assert [violation["field"] for violation in error["details"]["field_violations"]] == ["last-event-id"]


@pytest.mark.parametrize("path", [RUN, EVENTS])
async def test_head_of_a_watch_ends_at_once(gateway: Gateway, path: str) -> None:
    response = await gateway.http.head(path, timeout=5)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
