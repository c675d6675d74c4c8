"""EventService of a running orchestrator: the log of what its calls did."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from agentmesh.event.v1 import event_service_pb2 as pb
from agentmesh.event.v1.event_pb2 import Event

from mesh.rpc.convert import values
from tests.adapters.agent_host.running import agent_id
from tests.adapters.orchestrator.events.event_log import emit, none_waits
from tests.rpc.orchestrator.running import USER, Call, Mesh, failure_of
from tests.support.waiting import eventually


@pytest.fixture
async def me(mesh: Mesh) -> int:
    """The user who calls."""
    return int(await mesh.db.fetchval("SELECT id FROM users WHERE username = $1", USER))


async def listed(mesh: Mesh, **fields: Any) -> list[Event]:
    events: list[Event] = []
    token = ""
    while True:
        page = await mesh.orchestrator.events.ListEvents(pb.ListEventsRequest(page_token=token, **fields))
        events += page.events
        token = page.next_page_token
        if not token:
            return events


@contextlib.asynccontextmanager
async def watching(mesh: Mesh, **fields: Any) -> AsyncIterator[Any]:
    """A watch that has begun: it receives every later event."""
    call = mesh.orchestrator.events.WatchEvents(pb.WatchEventsRequest(**fields), timeout=60)
    try:
        yield call
    finally:
        call.cancel()


async def head(mesh: Mesh) -> int:
    await eventually(partial(none_waits, mesh.db))
    return int(await mesh.db.fetchval("SELECT last_position FROM event_relay"))


async def test_a_call_is_an_event_that_can_be_listed(mesh: Mesh, call: Call) -> None:
    before = await head(mesh)
    answer = await call.execute()
    await head(mesh)
    (event,) = await listed(mesh, after_position=before)
    assert (event.event_type, event.aggregate_id, event.source, event.position) == (
        "agent.executed",
        agent_id(1),
        "orchestrator",
        before + 1,
    )
    assert values(event.data, "data")["execution_id"] == answer.execution_id
    assert values(event.metadata, "metadata") == {"request_id": call.request_id}
    assert event.timestamp.seconds > 0


async def test_pages_contain_every_event_once_in_either_order(mesh: Mesh, me: int) -> None:
    before = await head(mesh)
    ids = await emit(mesh.db, *["pages"] * 7, user_id=me)
    await head(mesh)
    fields = {"after_position": before, "page_size": 3, "aggregate_id": "pages"}
    assert [event.event_id for event in await listed(mesh, **fields)] == ids
    assert [event.event_id for event in await listed(mesh, order=pb.EVENT_ORDER_NEWEST_FIRST, **fields)] == ids[::-1]


async def test_events_are_filtered_by_type_and_aggregate(mesh: Mesh, me: int) -> None:
    before = await head(mesh)
    (started, _) = await emit(mesh.db, "run_1", "run_2", event_type="workflow.started", user_id=me)
    await emit(mesh.db, "run_1", event_type="workflow.completed", user_id=me)
    await head(mesh)
    found = await listed(mesh, after_position=before, event_type="workflow.started", aggregate_id="run_1")
    assert [event.event_id for event in found] == [started]


async def test_another_users_events_are_neither_listed_nor_watched(mesh: Mesh, me: int) -> None:
    before = await head(mesh)
    async with watching(mesh, after_position=before) as watch:
        await emit(mesh.db, "theirs", user_id=77)
        await emit(mesh.db, "nobodys", user_id=None)
        (own,) = await emit(mesh.db, "own", user_id=me)
        assert (await watch.read()).logged.event_id == own
    assert [event.event_id for event in await listed(mesh, after_position=before)] == [own]


async def test_a_watch_receives_past_events_and_then_new_ones(mesh: Mesh, call: Call, me: int) -> None:
    before = await head(mesh)
    ids = await emit(mesh.db, *["old"] * 450, user_id=me)
    await head(mesh)
    async with watching(mesh, after_position=before) as watch:
        seen = [await watch.read() for _ in range(450)]
        assert [message.logged.event_id for message in seen] == ids
        assert [message.sequence for message in seen] == list(range(1, 451))
        answer = await call.execute()
        message = await watch.read()
        assert values(message.logged.data, "data")["execution_id"] == answer.execution_id
        assert message.sequence == 451


async def test_a_watch_without_a_position_receives_only_new_events(mesh: Mesh, me: int) -> None:
    await emit(mesh.db, "past", user_id=me)
    last = await head(mesh)
    async with watching(mesh, aggregate_id="new") as watch:
        reading = asyncio.create_task(watch.read())

        async def seen() -> bool:
            await emit(mesh.db, "new", user_id=me)  # repeated until the watch has begun
            await asyncio.wait([reading], timeout=1)
            return reading.done()

        await eventually(seen)
        message = await reading
        assert message.logged.aggregate_id == "new"
        assert message.logged.position > last


async def test_events_arrive_without_waiting_for_the_poll(mesh: Mesh, call: Call) -> None:
    """The notifier wakes relay and watcher; otherwise each would poll once a second."""
    async with watching(mesh, after_position=await head(mesh)) as watch:
        await call.execute()
        await watch.read()
        waits = []
        for _ in range(5):
            await call.execute()
            began = asyncio.get_running_loop().time()
            await watch.read()
            waits.append(asyncio.get_running_loop().time() - began)
        assert sorted(waits)[2] < 0.5


async def test_a_page_token_of_another_user_is_refused(mesh: Mesh) -> None:
    for token in ("x", "AAAA", "////////////", "_________w=="):
        error = await failure_of(mesh.orchestrator.events.ListEvents(pb.ListEventsRequest(page_token=token)))
        assert (error.reason, error.violations[0].field) == ("VALIDATION_ERROR", "page_token")


async def test_the_largest_position_is_the_end_of_the_log(mesh: Mesh) -> None:
    assert await listed(mesh, after_position=2**64 - 1) == []


@pytest.mark.parametrize("fields", [{"event_type": "Agent"}, {"page_size": 0}, {"order": 9}], ids=str)
async def test_invalid_requests_are_refused(mesh: Mesh, fields: dict[str, Any]) -> None:
    error = await failure_of(mesh.orchestrator.events.ListEvents(pb.ListEventsRequest(**fields)))
    assert error.reason == "VALIDATION_ERROR"
