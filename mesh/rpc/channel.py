"""Channels to other services of the mesh."""

import asyncio

import grpc

from mesh.security.tls import ClientTls
from mesh.tasks import BackgroundTasks

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""The limit inside the mesh. The gateway and the orchestrator's port limit requests from outside to 4 MiB."""

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Servers built by `mesh.rpc.serving.server` accept a ping every 30 s; a default server answers with GOAWAY after 120 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    (
        "grpc.http2.ping_timeout_ms",
        10_000,
    ),  # grpcio 1.85 ignores keepalive_timeout_ms and waits a minute
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Reconnect to a restarted host within a second; by default the backoff grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 900),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Callers retry UNAVAILABLE themselves. A channel must never repeat a call that may have been bought.
    ("grpc.enable_retries", 0),
)


RETIREMENT_SECONDS = 660.0
"""How long calls on a replaced channel may continue; longer than any call."""


class ChannelPool:
    """One lazily opened channel per target, shared by all calls of the process. Close it when the process drains.

    With `tls`, a channel keeps the certificates that it was opened with. When they change, new channels replace it.
    """

    def __init__(self, tasks: BackgroundTasks, tls: ClientTls | None = None) -> None:
        self._tasks = tasks
        self._tls = tls
        self._material = tls.material if tls else None
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._retiring: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self._generation = 0

    @property
    def generation(self) -> int:
        """Increases when the channels are replaced; do not start calls on stubs of older channels."""
        if self._tls is not None and self._tls.material is not self._material:
            self._material = self._tls.material
            self._generation += 1
            self._retire()
        return self._generation

    def get(self, target: str) -> grpc.aio.Channel:
        """The channel to `target` (`host:port`)."""
        _ = self.generation
        channel = self._channels.get(target)
        if channel is None:
            channel = self._channels[target] = self._open(target)
        return channel

    async def close(self) -> None:
        """Closes every channel and ends the calls on it."""
        channels = [*self._channels.values(), *self._retiring.values()]
        self._channels = {}
        await self._tasks.stop(*self._retiring)
        for channel in channels:
            await channel.close()

    def _open(self, target: str) -> grpc.aio.Channel:
        if self._tls is None:
            return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        return grpc.aio.secure_channel(target, self._tls.credentials(), options=(*CHANNEL_OPTIONS, *self._tls.options))

    def _retire(self) -> None:
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:  # calls in flight may finish
            task = self._tasks.start_once("retired channel", channel.close(RETIREMENT_SECONDS))
            self._retiring[task] = channel
            task.add_done_callback(self._retiring.pop)
