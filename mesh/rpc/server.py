"""Builds gRPC servers, and stops them so that no call is lost."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from mesh.rpc.channel import MAX_MESSAGE_BYTES
from mesh.rpc.reflection import add_reflection_service
from mesh.security.tls import ServerTls

SERVER_OPTIONS = (
    # On by default, and then a second server on the same port silently steals half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Clients of ours ping every 30 s; a server with defaults would send them away.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    # The gateway lets 24 KiB of headers pass, and gRPC counts more per header. Between its soft and its hard limit, which are 8 and
    # 16 KiB by default, it refuses at random.
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.absolute_max_metadata_size", 32 * 1024),
    # Of more than 1,000 calls that come at once, and wait to be looked at, gRPC by default ends some at random as CANCELLED, without a
    # word. Whom to turn away, and how, is for the admission control to say.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_001),
)


def build_server(interceptors: Sequence[grpc.aio.ServerInterceptor], *, max_request_bytes: int = MAX_MESSAGE_BYTES) -> grpc.aio.Server:
    """A server without services or ports. A larger request is refused by gRPC itself with RESOURCE_EXHAUSTED."""
    server = grpc.aio.server(interceptors=interceptors, options=(*SERVER_OPTIONS, ("grpc.max_receive_message_length", max_request_bytes)))
    # grpcio waits for the next call of each registered method, all of them anew for each call: 5 % of an agent call's CPU. Without
    # registration all methods are found by the generic handlers, which are the same.
    server.add_registered_method_handlers = _leave_unregistered  # type: ignore[method-assign]
    return server


def _leave_unregistered(service_name: str, method_handlers: Mapping[str, Any]) -> None:
    """Takes the place of grpcio's own."""


def listen(server: grpc.aio.Server, host: str, port: int, tls: ServerTls | None) -> int:
    """Opens a port and returns it. Raises RuntimeError when another program has it."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls.of_port())


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Lets grpcurl and similar tools list and describe `services` (full names), health and reflection itself."""
    add_reflection_service(server, (*services, health.SERVICE_NAME))


class _HealthServicer(health.aio.HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """gRPC's own, but its watches can be ended: each would hold a drain open to the last second of its grace."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[asyncio.Task[None]] = set()

    async def Watch(self, request: HealthCheckRequest, context: Any) -> None:
        """Tells the state of a service whenever it changes."""
        watch = asyncio.create_task(super().Watch(request, context))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        try:
            await watch
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # by the watcher, who has left
                raise

    def end_watches(self) -> None:
        """Ends every watch with OK."""
        for watch in self._watches:
            watch.cancel()


class Health:
    """grpc.health.v1 of one server: "" is the server itself, other names are whatever it serves."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._servicer = _HealthServicer()
        add_HealthServicer_to_server(self._servicer, server)

    async def set(self, service: str, serving: bool) -> None:
        """Says whether `service` takes calls; watchers hear of it at once."""
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        await self._servicer.set(service, status)

    async def forget(self, service: str) -> None:
        """Says that `service` is not (any more) here."""
        await self._servicer.set(service, HealthCheckResponse.SERVICE_UNKNOWN)

    async def not_serving(self) -> None:
        """Says for good that nothing here takes calls."""
        await self._servicer.enter_graceful_shutdown()

    def end_watches(self) -> None:
        """Sends the watchers away."""
        self._servicer.end_watches()


async def drain(
    servers: Sequence[grpc.aio.Server],
    health: Sequence[Health],
    *,
    notice_seconds: float,
    grace_seconds: float,
    end_watches: Sequence[Callable[[], None]] = (),
) -> None:
    """Stops servers so that no call is lost: says NOT_SERVING, waits until callers have noticed, then lets the calls finish.

    Calls that have no end of their own are ended by `end_watches`. Calls that are not done after `grace_seconds` are cut.
    """
    await asyncio.gather(*(one.not_serving() for one in health))
    await asyncio.sleep(notice_seconds)
    for end in (*(one.end_watches for one in health), *end_watches):
        end()
    await asyncio.gather(*(server.stop(grace_seconds) for server in servers))
