"""Third-party libraries for Server-Sent Events follow watches: finished ones to their end, and interrupted ones without repetition."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from agentmesh.workflow.v1 import workflow_pb2, workflow_service_pb2
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from deploy.local.tools.client_tools import MissingToolchain, event_source
from tests.contract.gateway.backend import Backend
from tests.contract.gateway.running import Gateway
from tests.contract.gateway.streams.test_resumed_streams import EVENTS, LAST, RUN, watched_log, watched_run
from tests.support.credentials import bearer

NODE_CLIENT = Path(__file__).with_name("sse_client.mjs")
TOKEN = bearer("a.token.of.the.user")


async def follow(gateway: Gateway, path: str, most_connections: int) -> tuple[list[ServerSentEvent], int]:
    """Reads a watch as the specification tells clients to: reconnects with the last id until 204. Returns its events and connections."""
    events: list[ServerSentEvent] = []
    headers: Mapping[str, str] = TOKEN
    for connection in range(1, most_connections + 1):
        async with aconnect_sse(gateway.http, "GET", path, headers=headers) as source:
            if source.response.status_code == 204:
                return events, connection
            await _read(source, events)
        headers = {**TOKEN, "last-event-id": events[-1].id} if events else TOKEN
    raise AssertionError(f"the watch did not end within {most_connections} connections")


async def _read(source: EventSource, events: list[ServerSentEvent]) -> None:
    try:
        async for event in source.aiter_sse():
            events.append(event)
    except httpx.RemoteProtocolError:
        return  # cut off


async def test_a_finished_watch_is_read_once_and_not_replayed(gateway: Gateway, backend: Backend) -> None:
    backend.script.events = watched_run
    events, connections = await follow(gateway, RUN, 3)
    assert ([event.id for event in events], connections) == (["1", "2", "3", "3"], 2)
    assert [event.json()["sequence"] for event in events] == [1, 2, 3, 3]
    assert "done" in events[-1].json()


def cut_after(events: int) -> Any:
    """A watch whose orchestrator is lost after so many events of every connection."""

    async def cut(request: Any, context: Any) -> AsyncIterator[Any]:
        if request.after_sequence >= LAST - 1:
            async for message in watched_run(request, context):
                yield message
            return
        for sequence in range(request.after_sequence + 1, request.after_sequence + 1 + events):
            run = workflow_service_pb2.RunChange(run=workflow_pb2.Run(run_id="a"))
            yield workflow_service_pb2.WatchRunResponse(sequence=sequence, run=run)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    return cut


@pytest.mark.parametrize("after", [1, 2])
async def test_a_watch_that_is_cut_off_is_resumed_without_repeating_events(gateway: Gateway, backend: Backend, after: int) -> None:
    backend.script.events = cut_after(after)
    events, _ = await follow(gateway, RUN, 6)
    assert [event.id for event in events] == ["1", "2", "3", "3"]
    assert [request.after_sequence for request in backend.script.requests][-1] == LAST


@pytest.mark.parametrize(("events", "connections"), [(watched_run, 2), (cut_after(2), 3)], ids=["finished", "cut off"])
async def test_a_library_for_node_reads_a_watch_once_and_stops(
    gateway: Gateway, backend: Backend, tmp_path: Path, events: Any, connections: int
) -> None:
    try:
        modules = await asyncio.to_thread(event_source) / "node_modules"
    except MissingToolchain as missing:
        pytest.skip(str(missing))
    (tmp_path / "node_modules").symlink_to(modules)
    shutil.copy(NODE_CLIENT, tmp_path)
    backend.script.events = events
    url = f"http://127.0.0.1:{gateway.port}{RUN}"
    command = ("node", NODE_CLIENT.name, url, "a.token")
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert out.decode().splitlines() == ["1 1", "2 2", "3 3", "3 3", f"connections {connections}"]


async def test_the_log_is_resumed_by_its_positions(gateway: Gateway, backend: Backend) -> None:
    backend.script.events = watched_log
    events: list[ServerSentEvent] = []
    for _ in range(2):
        headers = {**TOKEN, "last-event-id": events[-1].id} if events else TOKEN
        async with aconnect_sse(gateway.http, "GET", EVENTS, headers=headers) as source:
            await _read(source, events)
    assert [event.id for event in events] == ["41", "42", "45", "46", "47", "50"]


async def test_the_library_sends_the_credential_with_every_connection(gateway: Gateway, backend: Backend) -> None:
    seen: list[str] = []

    async def watched(request: Any, context: Any) -> AsyncIterator[Any]:
        seen.append(dict(context.invocation_metadata())["authorization"])
        async for message in watched_run(request, context):
            yield message

    backend.script.events = watched
    await follow(gateway, RUN, 3)
    assert seen == [TOKEN["authorization"]] * 2
