"""How streams and pages are read to their end: where to continue after each message."""

from google.protobuf.message import Message

from agentmesh_client.messages_pb2 import WatchEventsRequest, WatchEventsResponse, WatchRunRequest, WatchRunResponse


class Reading:
    """A streamed answer. It cannot be continued: once it has begun, a new request would buy a new answer."""

    endless = False
    """Whether it may take as long as it takes, unless the caller sets a timeout."""

    def __init__(self, request: Message) -> None:
        self.request: Message = request
        """What opens the stream, or continues it after the last message."""
        self.complete = False
        self.can_continue = True

    def accept(self, message: Message) -> bool:
        """Takes a message. Returns whether the caller wants it: heartbeats and errors, which are also the status, are left out."""
        self.can_continue = False
        event = message.WhichOneof("event")
        self.complete = event == "done"
        return event not in ("heartbeat", "error")


class RunReading(Reading):
    """The changes of a run, each exactly once."""

    endless = True

    def __init__(self, request: WatchRunRequest) -> None:
        self._next = WatchRunRequest()
        self._next.CopyFrom(request)
        super().__init__(self._next)

    def accept(self, message: Message) -> bool:
        assert isinstance(message, WatchRunResponse)
        self._next.after_sequence = message.sequence
        if message.WhichOneof("event") == "live":
            self._next.live_execution_id, self._next.live_offset = message.live.execution_id, message.live.text.next_offset
        wanted = super().accept(message)
        self.can_continue = True
        return wanted


class EventReading(Reading):
    """The log of events, each exactly once. It never ends."""

    endless = True

    def __init__(self, request: WatchEventsRequest) -> None:
        self._next = WatchEventsRequest()
        self._next.CopyFrom(request)
        super().__init__(self._next)

    def accept(self, message: Message) -> bool:
        assert isinstance(message, WatchEventsResponse)
        if position := message.logged.position or message.heartbeat.position:
            self._next.after_position = position
        wanted = super().accept(message)
        self.can_continue = True
        return wanted


def reading_of(request: Message) -> Reading:
    """How to read the stream that this request opens."""
    if isinstance(request, WatchRunRequest):
        return RunReading(request)
    return EventReading(request) if isinstance(request, WatchEventsRequest) else Reading(request)


def next_page(request: Message, page: Message, items: int) -> Message | None:
    """The request for the page after `page`, which had so many items; None if it was the last one."""
    following = type(request)()
    following.CopyFrom(request)
    if "next_page_token" in page.DESCRIPTOR.fields_by_name:
        following.page_token = page.next_page_token  # type: ignore[attr-defined]
        return following if page.next_page_token else None  # type: ignore[attr-defined]
    following.offset += items  # type: ignore[attr-defined]
    return following if items and following.offset < page.total else None  # type: ignore[attr-defined]
