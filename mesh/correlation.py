"""The correlation id of a request, in every log line, in every response, and on every call that it causes; and its trace id."""

import re
from contextvars import ContextVar

from uuid_utils.compat import uuid7

REQUEST_ID_KEY = "x-request-id"
_WELL_FORMED = re.compile(r"req_[A-Za-z0-9_-]{1,60}")
_current: ContextVar[str] = ContextVar("request_id", default="")
_trace: ContextVar[str] = ContextVar("trace_id", default="")


def adopt(given: str | None) -> str:
    """Sets the id of the current request: `given`, or a new one if it is absent or malformed. Returns the id.

    The id is echoed and logged, so only `req_` followed by 1 to 60 letters, digits, `_` and `-` is accepted.
    """
    request_id = given if given and _WELL_FORMED.fullmatch(given) else f"req_{uuid7().hex}"
    _current.set(request_id)
    return request_id


def current() -> str:
    """The id of the current request; empty outside a request."""
    return _current.get()


def adopt_trace(trace_id: str) -> None:
    """Sets the trace of the current request: 32 hexadecimal digits."""
    _trace.set(trace_id)


def trace_id() -> str:
    """The trace of the current request; empty outside a request, and while tracing is off."""
    return _trace.get()
