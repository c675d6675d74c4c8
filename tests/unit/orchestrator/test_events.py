"""Events: filters, topics and their JSON."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from agentmesh.event.v1 import event_pb2
from agentmesh.event.v1 import event_service_pb2 as pb
from google.protobuf.json_format import Parse

from mesh.errors import ValidationFailed
from orchestrator.events import convert
from orchestrator.events.model import Event, EventFilter, EventPage, Heartbeat, topic_of

EVENT = Event(
    position=7,
    event_id=UUID("01a219f8-7c2d-74ae-82d1-6fc8c4c45d2b"),
    event_type="agent.executed",
    aggregate_id="agent_1",
    occurred_at=datetime(2026, 2, 18, 10, 30, 0, 123456, UTC),
    source="orchestrator",
    data={"user_id": 3, "duration": 1.5, "status": "completed"},
    metadata={"request_id": "req_1"},
    user_id=3,
)


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (EventFilter(None), True),
        (EventFilter(3), True),
        (EventFilter(4), False),
        (EventFilter(3, event_type="agent.executed"), True),
        (EventFilter(3, event_type="agent"), False),
        (EventFilter(None, aggregate_id="agent_1"), True),
        (EventFilter(None, aggregate_id="agent_2"), False),
    ],
)
def test_a_filter_matches_the_owners_events_that_were_requested(wanted: EventFilter, takes: bool) -> None:
    assert wanted.matches(EVENT) is takes


def test_only_an_admin_sees_events_without_an_owner() -> None:
    nobodys = replace(EVENT, user_id=None)
    assert EventFilter(None).matches(nobodys)
    assert not EventFilter(0).matches(nobodys)


@pytest.mark.parametrize("event", [EVENT, replace(EVENT, user_id=None), replace(EVENT, user_id=4, event_type="user.logged_in")])
def test_the_filters_of_an_event_are_those_that_match_it(event: Event) -> None:
    users, types, aggregates = (None, 3, 4), ("", "agent.executed", "user.logged_in"), ("", "agent_1", "agent_2")
    filters = {EventFilter(*chosen) for chosen in product(users, types, aggregates)}
    assert EventFilter.all_of(event) == {wanted for wanted in filters if wanted.matches(event)}


@pytest.mark.parametrize(
    ("event_type", "topic"),
    [
        ("agent.executed", "agentmesh.agent"),
        ("workflow.approval_requested", "agentmesh.workflow"),
        ("user.logged_in", "agentmesh.user"),
        ("budget.exceeded", "agentmesh.user"),
    ],
)
def test_each_event_type_has_its_topic(event_type: str, topic: str) -> None:
    assert topic_of(event_type) == topic


def test_an_event_survives_its_json() -> None:
    assert convert.event_from_json(convert.event_json(EVENT)) == EVENT


def test_the_json_of_an_event_is_the_json_of_its_message() -> None:
    assert Parse(convert.event_json(EVENT), event_pb2.Event()) == convert.event(EVENT)


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"\xff", b'{"event_id": "1", "event_type": "a.b"}', b'{"event_id": 5}'], ids=str)
def test_json_that_is_not_an_event_raises_value_error(value: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        convert.event_from_json(value)


def listing(**fields: Any) -> Any:
    return convert.query(pb.ListEventsRequest(**fields), 3)


def test_a_page_token_continues_where_the_page_ended_in_either_order() -> None:
    token = convert.list_response(EventPage([EVENT], more=True)).next_page_token
    assert (listing(page_token=token).after, listing(page_token=token).before) == (7, None)
    assert listing(page_token=token, after_position=9).after == 9
    newest = listing(page_token=token, order=pb.EVENT_ORDER_NEWEST_FIRST, after_position=2)
    assert (newest.after, newest.before, newest.newest_first) == (2, 7, True)
    assert convert.list_response(EventPage([EVENT], more=False)).next_page_token == ""


@pytest.mark.parametrize("token", ["x", "AAAA", "//////////8=", "AAAAAAAAAAcA", "___________="], ids=str)
def test_a_page_token_of_another_list_is_refused(token: str) -> None:
    with pytest.raises(ValidationFailed, match="page_token"):
        listing(page_token=token)


def test_a_watch_begins_at_the_requested_position_or_now() -> None:
    assert convert.watched(pb.WatchEventsRequest(after_position=0), 3) == (EventFilter(3), 0)
    assert convert.watched(pb.WatchEventsRequest(event_type="a.b"), None) == (EventFilter(None, "a.b"), None)
    assert convert.watched(pb.WatchEventsRequest(after_position=2**64 - 1), 3)[1] == 2**63 - 1


def test_a_heartbeat_carries_the_position_to_resume_after() -> None:
    message = convert.watch_response(Heartbeat(12), 3)
    assert (message.sequence, message.WhichOneof("event"), message.heartbeat.position) == (3, "heartbeat", 12)
