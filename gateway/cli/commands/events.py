"""`agentmesh events`: the log of what happened."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import typer

from gateway.cli.application import Limit, Output, examples, group, printer_of, session_of
from gateway.cli.rendering import Column, Format
from gateway.cli.watching import resumed
from gateway.cli.words import moment, one_line

app = group("events", "Read and follow the log of events.")
Type = Annotated[str, typer.Option("--type", help="Only events of this type, such as workflow.failed.")]
Aggregate = Annotated[str, typer.Option("--aggregate", help="Only events of the object with this id.")]
EVENTS = [
    Column("position", lambda event: event.position, right=True),
    Column("time", lambda event: moment(event, "timestamp")),
    Column("event", lambda event: event.event_type),
    Column("object", lambda event: event.aggregate_id, grows=True),
]


@app.command("list", epilog=examples("agentmesh events list --limit 5", "agentmesh events list --type workflow.failed --output json"))
def list_events(
    context: typer.Context,
    event_type: Type = "",
    aggregate: Aggregate = "",
    oldest: Annotated[bool, typer.Option("--oldest-first", help="From the beginning of the log.")] = False,
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List events, the newest first."""
    from agentmesh.event.v1 import event_service_pb2 as pb
    from agentmesh.event.v1.event_service_pb2_grpc import EventServiceStub

    printer, session = printer_of(context, output, lists=True), session_of(context)
    order = pb.EVENT_ORDER_OLDEST_FIRST if oldest else pb.EVENT_ORDER_NEWEST_FIRST
    request = pb.ListEventsRequest(event_type=event_type, aggregate_id=aggregate, order=order)
    answer = session.pages(session.stub(EventServiceStub).ListEvents, request, "events", limit)
    printer.items(answer, answer.events, EVENTS, "No events.")


@app.command(
    epilog=examples("agentmesh events tail --type workflow.failed", "agentmesh events tail --after 0 --output json | jq .logged.event_type")
)
def tail(
    context: typer.Context,
    after: Annotated[int | None, typer.Option("--after", min=0, help="From this position; 0 for the whole log. Default: from now.")] = None,
    event_type: Type = "",
    aggregate: Aggregate = "",
    count: Annotated[int, typer.Option("--count", min=0, help="Stop after so many events; 0 never stops.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """Print events as they happen; continues after a broken connection."""
    from agentmesh.event.v1 import event_service_pb2 as pb
    from agentmesh.event.v1.event_service_pb2_grpc import EventServiceStub

    printer, session = printer_of(context, output), session_of(context)
    stub, request = session.stub(EventServiceStub), pb.WatchEventsRequest(event_type=event_type, aggregate_id=aggregate)
    if after is not None:
        request.after_position = after

    def open_stream() -> Iterator[Any]:
        return session.follow(stub.WatchEvents, request)

    shown = 0
    for message in resumed(session, open_stream, lambda _: False):
        if message.WhichOneof("event") == "heartbeat":
            request.after_position = message.heartbeat.position  # so that a watch that only saw silence misses nothing
            continue
        request.after_position = message.logged.position
        printer.event(message, partial(_line, message.logged))
        shown += 1
        if shown == count:
            return


def _line(event: Any) -> str:
    return "\t".join([str(event.position), moment(event, "timestamp"), event.event_type, one_line(event.aggregate_id)])
