"""Builds gRPC servers, and drains them without losing a call."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

from mesh.clock import SYSTEM_CLOCK
from mesh.rpc.channel import MAX_MESSAGE_BYTES
from mesh.rpc.serving.reflection import add_reflection_service
from mesh.security.tls import ServerTls
from mesh.tasks import awaited
from mesh.waiting import set_in_turn

SERVER_OPTIONS = (
    # On by default: a second server on the same port would silently receive half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Channels of the mesh ping every 30 s, which a server with defaults answers with GOAWAY.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    # A client that has vanished is noticed within 80 s instead of after two hours.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The gateway accepts 24 KiB of headers, and gRPC counts more per header. Between its soft and its hard limit (8 and 16 KiB by
    # default) gRPC refuses at random.
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.absolute_max_metadata_size", 32 * 1024),
    # By default, gRPC cancels random calls without a message when more than 1,000 new calls wait to be accepted. Admission control
    # decides which calls to refuse, and how.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_001),
)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections a port accepts, and when it closes those that are not used. gRPC closes them without a word."""

    most: int = 10_000
    handshake_seconds: float = 10.0
    """How long a client may take for TLS and for the first frames of HTTP/2; gRPC allows 120 s by default."""
    idle_seconds: float = 300.0
    """How long a connection stays open without a call. A client's channel connects again at its next call."""


DEFAULT_CONNECTIONS = ConnectionLimits()
CATCH_UP_SECONDS = 5.0
"""How long a server that stops waits for a busy event loop to accept the calls that have arrived."""


def build_server(
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    *,
    max_request_bytes: int = MAX_MESSAGE_BYTES,
    connections: ConnectionLimits = DEFAULT_CONNECTIONS,
) -> grpc.aio.Server:
    """A server without services or ports. A larger request is refused by gRPC itself with RESOURCE_EXHAUSTED."""
    options = (
        *SERVER_OPTIONS,
        ("grpc.max_receive_message_length", max_request_bytes),
        ("grpc.max_allowed_incoming_connections", connections.most),
        ("grpc.server_handshake_timeout_ms", int(1000 * connections.handshake_seconds)),
        ("grpc.max_connection_idle_ms", int(1000 * connections.idle_seconds)),
    )
    server = grpc.aio.server(interceptors=interceptors, options=options)
    # For each call, grpcio starts to wait again for the next call of every registered method, which is 5 % of an agent call's CPU.
    # Without registration, the generic handlers find the same methods. See docs/private-interfaces.md.
    server.add_registered_method_handlers = _leave_unregistered  # type: ignore[method-assign]
    return server


def _leave_unregistered(service_name: str, method_handlers: Mapping[str, Any]) -> None:
    """Replaces grpcio's method."""


def listen(server: grpc.aio.Server, host: str, port: int, tls: ServerTls | None) -> int:
    """Opens a port and returns its number. Raises RuntimeError if another program uses it."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls.of_port())


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Lets grpcurl and similar tools list and describe `services` (full names), health and reflection itself."""
    add_reflection_service(server, (*services, health.SERVICE_NAME))


class _HealthServicer(HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """A watch is woken only when the state of its service changes, and can be ended.

    gRPC's own servicer wakes every watch of a service whenever the state is set, changed or not, and all take turns behind one lock.
    """

    def __init__(self) -> None:
        self._states: dict[str, HealthCheckResponse.ServingStatus] = {"": HealthCheckResponse.SERVING}
        self._changes: dict[str, set[asyncio.Event]] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._final = False

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:
        """Returns the state of a service. NOT_FOUND if there is none."""
        if request.service not in self._states:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} on this port")
        return HealthCheckResponse(status=self._states[request.service])

    async def Watch(self, request: HealthCheckRequest, context: Any) -> None:
        """Streams the state of a service whenever it changes."""
        watch = awaited(self._watch(request.service, context))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        try:
            await watch
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # the watcher has gone
                raise

    async def set(self, service: str, state: HealthCheckResponse.ServingStatus) -> None:
        """Sets the state of a service, unless the states are final."""
        if not self._final and self._states.get(service) != state:
            self._states[service] = state
            await set_in_turn(self._changes.get(service, ()))

    async def set_finally(self, state: HealthCheckResponse.ServingStatus) -> None:
        """Sets the final state of all services."""
        for service in [*self._states]:
            await self.set(service, state)
        self._final = True

    def end_watches(self) -> None:
        """Ends every watch with OK."""
        for watch in self._watches:
            watch.cancel()

    async def _watch(self, service: str, context: Any) -> None:
        changed, sent = asyncio.Event(), None
        self._changes.setdefault(service, set()).add(changed)
        try:
            while True:
                changed.clear()
                state = self._states.get(service, HealthCheckResponse.SERVICE_UNKNOWN)
                if state != sent:
                    await context.write(HealthCheckResponse(status=state))
                    sent = state
                await changed.wait()
        finally:
            self._changes[service].discard(changed)
            if not self._changes[service]:
                del self._changes[service]


class Health:
    """grpc.health.v1 of one server. The name "" is the server itself; other names are services or agents."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._servicer = _HealthServicer()
        add_HealthServicer_to_server(self._servicer, server)

    async def set(self, service: str, serving: bool) -> None:
        """Sets whether `service` accepts calls; watchers are told at once."""
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        await self._servicer.set(service, status)

    async def forget(self, service: str) -> None:
        """Sets `service` to SERVICE_UNKNOWN."""
        await self._servicer.set(service, HealthCheckResponse.SERVICE_UNKNOWN)

    async def not_serving(self) -> None:
        """Sets all services to NOT_SERVING, permanently."""
        await self._servicer.set_finally(HealthCheckResponse.NOT_SERVING)

    def end_watches(self) -> None:
        self._servicer.end_watches()


async def drain(
    servers: Sequence[grpc.aio.Server],
    health: Sequence[Health],
    *,
    notice_seconds: float,
    grace_seconds: float,
    end_watches: Sequence[Callable[[], None]] = (),
) -> None:
    """Stops servers without losing a call: sets NOT_SERVING, waits until callers have noticed, then lets the calls finish.

    `end_watches` ends the calls that would never end themselves. Calls that are still running after `grace_seconds` are cancelled.
    """
    await asyncio.gather(*(one.not_serving() for one in health))
    await asyncio.sleep(notice_seconds)
    if grace_seconds:
        await _caught_up()
    for end in (*(one.end_watches for one in health), *end_watches):
        end()
    await asyncio.gather(*(server.stop(grace_seconds) for server in servers))


async def _caught_up() -> None:
    """Returns once the event loop has been punctual for a tenth of a second, or after CATCH_UP_SECONDS.

    When a server stops, gRPC cancels the calls that have arrived and that a busy loop has not yet accepted. Their callers would get
    CANCELLED, which is not to be retried, although nothing has begun.
    """
    now = SYSTEM_CLOCK.monotonic
    latest, punctual = now() + CATCH_UP_SECONDS, 0
    while punctual < 10 and now() < latest:
        due = now() + 0.01
        await asyncio.sleep(0.01)
        punctual = punctual + 1 if now() - due < 0.02 else 0
