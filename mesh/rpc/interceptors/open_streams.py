"""Limits how many streams are open in this process: by user, by address and in total.

An open stream costs memory, a place among the gateway's requests to this process, and a wake-up whenever something happens. Calls a
minute do not bound them, because a stream stays.
"""

import inspect
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from prometheus_client import Gauge

from mesh import correlation
from mesh.errors import RateLimitExceeded
from mesh.limits.limiter import CallerKind, network_of, refusal
from mesh.rpc.access import access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.rpc.peer import Peers
from mesh.rpc.status import TABLE, status_of, summary, trailing_details
from mesh.security import caller

OPEN = Gauge("open_streams", "Streams that are open in this process")
OF_USER, OF_ADDRESS, IN_TOTAL, ANONYMOUS = "streams_of_user", "streams_of_address", "streams", "anonymous_streams"
_WAIT_SECONDS = 5.0
"""When to try again; a guess, because the end of other streams is unknown."""


@dataclass(frozen=True, slots=True)
class StreamAllowances:
    """The most streams that may be open at once, per process."""

    of_user: int = 100
    of_address: int = 500
    in_total: int = 4_000
    anonymous: int = 1_000
    """Without a credential; the rest is reserved for users."""


class OpenStreams(BehaviourInterceptor):
    """Refuses a stream beyond a limit with RATE_LIMIT_EXCEEDED.

    Those of gRPC's own services (health watches, reflection) count by address, because they need no credential.
    """

    def __init__(self, peers: Peers, allowances: StreamAllowances) -> None:
        super().__init__()
        self._peers = peers
        self._allowances = allowances
        self._of_user: Counter[int] = Counter()
        self._of_address: Counter[str] = Counter()
        self._open = 0
        self._anonymous = 0

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Calls without a stream are not counted."""
        return behaviour

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Counts the stream while it is open."""
        signed = access_of(method).scope is not None

        async def counted(request: Any, context: Context) -> AsyncIterator[Message]:
            with self._counted(context, caller.current().user_id if signed else None):
                async for message in behaviour(request, context):
                    yield message

        return counted

    def _wrap(self, method: str, handler: Any) -> Any:
        if method.startswith("/agentmesh.") or not handler.response_streaming:
            return super()._wrap(method, handler)
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
        make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        return make(self._around_grpc_service(behaviour), handler.request_deserializer, handler.response_serializer)

    def _around_grpc_service(self, behaviour: Any) -> Any:
        """The services of gRPC itself are outside the error boundary, and write messages in either of two ways."""

        async def generated(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                with self._counted(context, None):
                    async for message in behaviour(request, context):
                        yield message
            except RateLimitExceeded as error:
                await _abort(context, error)

        async def written(request: Any, context: Context) -> None:
            try:
                with self._counted(context, None):
                    await behaviour(request, context)
            except RateLimitExceeded as error:
                await _abort(context, error)

        return generated if inspect.isasyncgenfunction(behaviour) else written

    @contextmanager
    def _counted(self, context: Context, user_id: int | None) -> Iterator[None]:
        address, most = network_of(self._peers.address_of(context)), self._allowances
        if user_id is not None and self._of_user[user_id] >= most.of_user:
            raise refusal(OF_USER, CallerKind.USER, f"{most.of_user} open streams", _WAIT_SECONDS)
        if self._of_address[address] >= most.of_address:
            raise refusal(OF_ADDRESS, CallerKind.ADDRESS, f"{most.of_address} open streams", _WAIT_SECONDS)
        if user_id is None and self._anonymous >= most.anonymous:
            raise refusal(ANONYMOUS, CallerKind.EVERYONE, f"{most.anonymous} open streams without a credential", _WAIT_SECONDS)
        if self._open >= most.in_total:
            raise refusal(IN_TOTAL, CallerKind.EVERYONE, f"{most.in_total} open streams", _WAIT_SECONDS)
        keys: list[tuple[Counter[Any], Any]] = [(self._of_address, address)]
        if user_id is not None:
            keys.append((self._of_user, user_id))
        for counter, key in keys:
            counter[key] += 1
        self._open += 1
        self._anonymous += user_id is None
        OPEN.inc()
        try:
            yield
        finally:
            OPEN.dec()
            self._open -= 1
            self._anonymous -= user_id is None
            for counter, key in keys:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]


async def _abort(context: Context, error: RateLimitExceeded) -> None:
    status = status_of(error, correlation.current())
    await context.abort(TABLE[error.reason].code, summary(status), trailing_metadata=(trailing_details(status),))
