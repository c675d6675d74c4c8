"""The log of events over REST and gRPC, as users meet it: their own events, an administrator everybody's."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agentmesh.event.v1 import event_service_pb2 as pb
from agentmesh.event.v1.event_service_pb2_grpc import EventServiceStub

from tests.contract.gateway.wire import error_of
from tests.e2e.people import Person, new_person
from tests.e2e.platform import Platform, question
from tests.e2e.workflows import Workflows, task
from tests.support.credentials import authorized
from tests.support.waiting import eventually


@pytest.fixture
async def person(platform: Platform) -> Person:
    return await new_person(platform)


async def listed(platform: Platform, who: Person, query: str = "") -> list[dict[str, Any]]:
    response = await platform.anonymous.get(f"/api/v1/events?page_size=200{query}", headers=who.headers)
    assert response.status_code == 200, response.text
    return list(response.json()["events"])


@asynccontextmanager
async def watched(platform: Platform, who: Person, after: int = 0) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """A watch over Server-Sent Events; leaving the block closes the connection."""

    async def messages() -> AsyncIterator[dict[str, Any]]:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    path = f"/api/v1/events/watch?after_position={after}"
    async with platform.anonymous.stream("GET", path, headers=who.headers) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        yield messages()


async def test_what_a_user_does_stands_in_the_log_in_its_order(platform: Platform, person: Person) -> None:
    """Everything from the registration on, and nothing of anybody else's."""
    execution = (await platform.execute(question(), headers=person.headers)).json()["execution_id"]

    async def told() -> list[dict[str, Any]]:
        events = await listed(platform, person)
        return events if any(event["event_type"] == "agent.executed" for event in events) else []

    events = await eventually(told)
    types = [event["event_type"] for event in events]
    assert (types[0], types[-1]) == ("user.registered", "agent.executed")
    assert set(types) <= {"user.registered", "user.logged_in", "agent.executed"}
    assert events[-1]["data"]["execution_id"] == execution
    positions = [int(event["position"]) for event in events]
    assert positions == sorted(positions)
    newest = await listed(platform, person, "&order=EVENT_ORDER_NEWEST_FIRST")
    assert [event["event_id"] for event in newest] == [event["event_id"] for event in events][::-1]
    only = await listed(platform, person, "&event_type=user.registered")
    assert [event["event_id"] for event in only] == [events[0]["event_id"]]


async def test_a_run_is_told_live_over_server_sent_events_and_goes_on_after_a_cut(
    platform: Platform, person: Person, workflows: Workflows
) -> None:
    async with watched(platform, person) as messages:
        first = await anext(messages)
        assert (first["sequence"], first["logged"]["event_type"]) == (1, "user.registered")
    made = await workflows.create(task("only"), headers=person.headers)
    run = await workflows.execute(made["workflow_id"], headers=person.headers)
    async with watched(platform, person, int(first["logged"]["position"])) as messages:
        seen = []
        async for message in messages:
            seen.append(message["logged"])
            if message["logged"]["event_type"] == "workflow.completed":
                break
    of_the_run = [event for event in seen if event["aggregate_id"] == made["workflow_id"]]
    assert [event["event_type"] for event in of_the_run] == ["workflow.started", "workflow.completed"]
    assert {event["data"]["run_id"] for event in of_the_run} == {run["run_id"]}
    assert [int(event["position"]) for event in seen] == sorted({int(event["position"]) for event in seen})


async def test_an_administrator_sees_everybodys_events(platform: Platform, person: Person) -> None:
    """`platform.http` is the first administrator's."""

    async def registered() -> bool:
        answer = await platform.http.get("/api/v1/events?event_type=user.registered&order=EVENT_ORDER_NEWEST_FIRST&page_size=200")
        return person.username in {event["data"]["username"] for event in answer.json()["events"]}

    await eventually(registered)


async def test_grpc_watches_the_same_log(platform: Platform, person: Person) -> None:
    for channel in platform.doors.values():
        stub: Any = EventServiceStub(authorized(channel, person.access_token))
        call = stub.WatchEvents(pb.WatchEventsRequest(after_position=0), timeout=20)
        assert (await call.read()).logged.event_type == "user.registered"
        call.cancel()


@pytest.mark.parametrize("query", ["page_size=0", "page_token=x", "event_type=Bad", "order=sideways", "nonsense=1"])
async def test_bad_questions_are_answered_with_the_envelope(platform: Platform, person: Person, query: str) -> None:
    answer = await platform.anonymous.get(f"/api/v1/events?{query}", headers=person.headers)
    error_of(answer, 422, "VALIDATION_ERROR")
