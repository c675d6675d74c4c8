"""The log of events over REST and gRPC: users read their own events, administrators all of them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agentmesh.event.v1 import event_service_pb2 as pb
from agentmesh.event.v1.event_service_pb2_grpc import EventServiceStub

from tests.contract.gateway.wire import error_of
from tests.e2e.platform import Platform, question
from tests.e2e.users import User, new_user
from tests.e2e.workflows import Workflows, task
from tests.support.credentials import authorized
from tests.support.waiting import eventually


@pytest.fixture
async def user(platform: Platform) -> User:
    return await new_user(platform)


async def listed(platform: Platform, who: User, query: str = "") -> list[dict[str, Any]]:
    response = await platform.anonymous.get(f"/api/v1/events?page_size=200{query}", headers=who.headers)
    assert response.status_code == 200, response.text
    return list(response.json()["events"])


@asynccontextmanager
async def watched(platform: Platform, who: User, after: int = 0) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """A watch over Server-Sent Events; leaving the block closes the connection."""

    async def messages() -> AsyncIterator[dict[str, Any]]:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    path = f"/api/v1/events/watch?after_position={after}"
    async with platform.anonymous.stream("GET", path, headers=who.headers) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        yield messages()


async def test_a_users_actions_are_events_in_order(platform: Platform, user: User) -> None:
    """Every event since the registration, and none of other users."""
    execution = (await platform.execute(question(), headers=user.headers)).json()["execution_id"]

    async def complete_log() -> list[dict[str, Any]]:
        events = await listed(platform, user)
        return events if any(event["event_type"] == "agent.executed" for event in events) else []

    events = await eventually(complete_log)
    types = [event["event_type"] for event in events]
    assert (types[0], types[-1]) == ("user.registered", "agent.executed")
    assert set(types) <= {"user.registered", "user.logged_in", "agent.executed"}
    assert events[-1]["data"]["execution_id"] == execution
    positions = [int(event["position"]) for event in events]
    assert positions == sorted(positions)
    newest = await listed(platform, user, "&order=EVENT_ORDER_NEWEST_FIRST")
    assert [event["event_id"] for event in newest] == [event["event_id"] for event in events][::-1]
    only = await listed(platform, user, "&event_type=user.registered")
    assert [event["event_id"] for event in only] == [events[0]["event_id"]]


async def test_a_run_is_watched_live_over_sse_and_resumed_after_a_disconnect(platform: Platform, user: User, workflows: Workflows) -> None:
    async with watched(platform, user) as messages:
        first = await anext(messages)
        assert (first["sequence"], first["logged"]["event_type"]) == (1, "user.registered")
    made = await workflows.create(task("only"), headers=user.headers)
    run = await workflows.execute(made["workflow_id"], headers=user.headers)
    async with watched(platform, user, int(first["logged"]["position"])) as messages:
        seen = []
        async for message in messages:
            seen.append(message["logged"])
            if message["logged"]["event_type"] == "workflow.completed":
                break
    of_the_run = [event for event in seen if event["aggregate_id"] == made["workflow_id"]]
    assert [event["event_type"] for event in of_the_run] == ["workflow.started", "workflow.completed"]
    assert {event["data"]["run_id"] for event in of_the_run} == {run["run_id"]}
    assert [int(event["position"]) for event in seen] == sorted({int(event["position"]) for event in seen})


async def test_an_administrator_sees_all_events(platform: Platform, user: User) -> None:
    """`platform.http` authenticates as the first administrator."""

    async def registered() -> bool:
        answer = await platform.http.get("/api/v1/events?event_type=user.registered&order=EVENT_ORDER_NEWEST_FIRST&page_size=200")
        return user.username in {event["data"]["username"] for event in answer.json()["events"]}

    await eventually(registered)


async def test_grpc_watches_the_same_log(platform: Platform, user: User) -> None:
    for channel in platform.anonymous_channels.values():
        stub: Any = EventServiceStub(authorized(channel, user.access_token))
        call = stub.WatchEvents(pb.WatchEventsRequest(after_position=0), timeout=20)
        assert (await call.read()).logged.event_type == "user.registered"
        call.cancel()


@pytest.mark.parametrize("query", ["page_size=0", "page_token=x", "event_type=Bad", "order=sideways", "nonsense=1"])
async def test_invalid_requests_are_answered_with_the_envelope(platform: Platform, user: User, query: str) -> None:
    answer = await platform.anonymous.get(f"/api/v1/events?{query}", headers=user.headers)
    error_of(answer, 422, "VALIDATION_ERROR")
