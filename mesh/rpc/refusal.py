"""An error response that is prepared once, because it is sent very often."""

import json

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from mesh import correlation
from mesh.errors import MeshError
from mesh.rpc.envelope import ENVELOPE_TRAILER, envelope_trailers, timestamp
from mesh.rpc.status import TABLE, find, status_of, summary, trailing_details

_ID, _TIME = "@request_id@", "@timestamp@"
Trailers = tuple[tuple[str, str | bytes], ...]


class StandingRefusal:
    """The same error for every call, except for request id and time. `marks` are trailers that are sent with it."""

    def __init__(self, error: MeshError, *marks: tuple[str, str]) -> None:
        self._marks = marks
        self.code = TABLE[error.reason].code
        status = status_of(error, _ID)
        self.message = summary(status)
        trailers = dict(envelope_trailers(status))
        document = json.loads(trailers.pop(ENVELOPE_TRAILER))
        document["error"]["timestamp"] = _TIME
        self._before, rest = json.dumps(document, separators=(",", ":")).split(_ID)
        self._between, self._after = rest.split(_TIME)
        self._others = tuple(trailers.items())
        kept = [detail for detail in status.details if not detail.Is(error_details_pb2.RequestInfo.DESCRIPTOR)]
        assert find(status, error_details_pb2.RequestInfo()) is not None
        self._key, self._details = trailing_details(status_pb2.Status(code=status.code, message=status.message, details=kept))

    def trailers(self, request_id: str, *, transcoded: bool) -> Trailers:
        """The trailers that the error boundary would send."""
        request = any_pb2.Any()
        request.Pack(error_details_pb2.RequestInfo(request_id=request_id))
        # Concatenated protobuf messages are read as one message with the details of both.
        details = self._details + status_pb2.Status(details=[request]).SerializeToString()
        trailers: Trailers = ((self._key, details), (correlation.REQUEST_ID_KEY, request_id), *self._marks)
        if not transcoded:
            return trailers
        envelope = f"{self._before}{request_id}{self._between}{timestamp()}{self._after}"
        return (*trailers, (ENVELOPE_TRAILER, envelope), *self._others)
