"""When a call is sent again.

The client repeats a call only if that cannot buy anything twice:

* The platform refused it before it began (Unavailable, RateLimited).
* The connection broke, and the rpc only reads or has an idempotency key. The client makes a key for each call that can have one.

Errors of an agent or its provider may have cost money. They are raised at once; `error.retryable` tells whether another try can help.
"""

import random
import time
import uuid
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from google.protobuf.message import Message

from agentmesh_client.errors import AgentMeshError, ConnectionLost, RateLimited, Unavailable

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try, and how long to wait in between. The platform's `retry_after_seconds` is always respected."""

    attempts: int = 5
    """How often to try in all; 1 for no retry. A watched stream begins to count anew with each event."""
    first_delay_seconds: float = 0.2
    """The wait after the first failure. It doubles with each further one, and is shortened at random by up to a half."""
    longest_delay_seconds: float = 5.0


class Tries:
    """The tries of one call, all of which together may take `timeout` seconds; None for no limit."""

    def __init__(self, policy: RetryPolicy, timeout: float | None, *, repeatable: bool) -> None:
        self._policy = policy
        self._end = inf if timeout is None else time.monotonic() + timeout
        self._repeatable = repeatable
        self._failures = 0

    @property
    def seconds_left(self) -> float | None:
        """The deadline of the next try."""
        return None if self._end == inf else max(0.0, self._end - time.monotonic())

    def progressed(self) -> None:
        """Forgets earlier failures, because the stream delivers again."""
        self._failures = 0

    def pause_after(self, error: AgentMeshError) -> float:
        """Seconds to wait before the next try. Raises `error` if there may be no other."""
        if not (isinstance(error, Unavailable | RateLimited) or (self._repeatable and isinstance(error, ConnectionLost))):
            raise error
        delay = min(self._policy.first_delay_seconds * 2**self._failures, self._policy.longest_delay_seconds)
        pause = max(delay * random.uniform(0.5, 1), error.retry_after_seconds or 0)
        self.count(error)
        if time.monotonic() + pause >= self._end:
            raise error
        return pause

    def count(self, error: AgentMeshError) -> None:
        """Counts a failed try. Raises `error` if it was the last one."""
        self._failures += 1
        if self._failures >= self._policy.attempts:
            raise error


def with_key(request: M) -> M:
    """The request with an idempotency key, if it can have one: all tries of a call then have the same."""
    if getattr(request, "idempotency_key", None) != "":
        return request
    keyed = type(request)()
    keyed.CopyFrom(request)
    keyed.idempotency_key = str(uuid.uuid4())  # type: ignore[attr-defined]
    return keyed
