"""The correlation id of one request: in every log line, in every answer, on every call that it causes."""

import re
from contextvars import ContextVar

from uuid_utils.compat import uuid7

REQUEST_ID_KEY = "x-request-id"
_WELL_FORMED = re.compile(r"req_[A-Za-z0-9_-]{1,60}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def adopt(given: str | None) -> str:
    """Makes `given` the current request's id, or a new one when it is absent or malformed; returns it.

    A caller's id is echoed and logged, so only `req_` with 1 to 60 letters, digits, `_` and `-` is taken over.
    """
    request_id = given if given and _WELL_FORMED.fullmatch(given) else f"req_{uuid7().hex}"
    _current.set(request_id)
    return request_id


def current() -> str:
    """The current request's id; empty outside a request."""
    return _current.get()
