"""Converts between events and the messages of agentmesh.event.v1."""

from datetime import UTC
from uuid import UUID

from agentmesh.event.v1 import event_pb2
from agentmesh.event.v1 import event_service_pb2 as pb
from google.protobuf.json_format import MessageToJson, Parse, ParseError

from mesh.errors import ValidationFailed
from mesh.rpc.convert import struct, values
from mesh.rpc.requests.paging import number_token, page_size, read_number_token
from orchestrator.events.model import Event, EventFilter, EventPage, EventQuery, Heartbeat

LAST_POSITION = 2**63 - 1
"""The largest position that the log can hold."""


def event(record: Event) -> event_pb2.Event:
    message = event_pb2.Event(
        event_id=str(record.event_id),
        event_type=record.event_type,
        source=record.source,
        data=struct(record.data),
        metadata=struct(record.metadata),
        aggregate_id=record.aggregate_id,
        position=record.position,
    )
    message.timestamp.FromDatetime(record.occurred_at)
    return message


def event_json(record: Event) -> bytes:
    """Encodes an event as it is published to Kafka."""
    return MessageToJson(event(record), preserving_proto_field_name=True, indent=None).encode()


def event_from_json(value: bytes) -> Event:
    """Decodes an event from Kafka and ignores fields that a newer version has added. Raises ValueError for anything else."""
    try:
        message = Parse(value, event_pb2.Event(), ignore_unknown_fields=True)
        data, metadata = values(message.data, "data"), values(message.metadata, "metadata")
    except (ParseError, UnicodeDecodeError, ValidationFailed) as error:
        raise ValueError(str(error)) from error
    if not message.event_type:
        raise ValueError("the event has no event_type")
    user_id = data.get("user_id")
    return Event(
        position=message.position,
        event_id=UUID(message.event_id),
        event_type=message.event_type,
        aggregate_id=message.aggregate_id,
        occurred_at=message.timestamp.ToDatetime(UTC),
        source=message.source,
        data=data,
        metadata=metadata,
        user_id=user_id if isinstance(user_id, int) else None,
    )


def query(request: pb.ListEventsRequest, sees: int | None) -> EventQuery:
    """Converts the request. Raises ValidationFailed for a page token that this service did not issue."""
    newest_first = request.order == pb.EVENT_ORDER_NEWEST_FIRST
    last = read_number_token(request.page_token)
    after = min(request.after_position, LAST_POSITION)
    return EventQuery(
        EventFilter(sees, request.event_type, request.aggregate_id),
        page_size(request),
        after=after if newest_first or last is None else max(after, last),
        before=last if newest_first else None,
        newest_first=newest_first,
    )


def list_response(page: EventPage) -> pb.ListEventsResponse:
    token = number_token(page.events[-1].position) if page.more else ""
    return pb.ListEventsResponse(events=map(event, page.events), next_page_token=token)


def watched(request: pb.WatchEventsRequest, sees: int | None) -> tuple[EventFilter, int | None]:
    """Returns which events to watch and after which position; None means from now on."""
    after = min(request.after_position, LAST_POSITION) if request.HasField("after_position") else None
    return EventFilter(sees, request.event_type, request.aggregate_id), after


def watch_response(item: Event | Heartbeat, sequence: int) -> pb.WatchEventsResponse:
    if isinstance(item, Heartbeat):
        return pb.WatchEventsResponse(sequence=sequence, heartbeat=pb.EventHeartbeat(position=item.position))
    return pb.WatchEventsResponse(sequence=sequence, logged=event(item))
