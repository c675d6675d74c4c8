"""Channels to other services of the mesh."""

import asyncio

import grpc

from mesh.security.tls import ClientTls

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Inside the mesh; what comes from outside is bound to 4 MiB at the gateway and at the orchestrator's own port."""

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Pings every 30 s are fine with servers built by `mesh.rpc.server`; a default server answers them with GOAWAY at 120 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # without it grpcio 1.85 waits a minute for the answer to a ping, whatever stands above
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A host that comes back is used again within a second; the default backs off up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 900),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # UNAVAILABLE is the caller's to retry: no channel repeats a call that may have been bought.
    ("grpc.enable_retries", 0),
)


RETIREMENT_SECONDS = 660.0
"""Longer than any call."""


class ChannelPool:
    """One lazily opened channel per target, shared by all calls of the process. Close it when the process drains.

    With `tls` a channel has the certificates of the moment when it was opened; once they have changed, others take its place.
    """

    def __init__(self, tls: ClientTls | None = None) -> None:
        self._tls = tls
        self._material = tls.material if tls else None
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._generation = 0

    @property
    def generation(self) -> int:
        """Grows when the channels are replaced: stubs of those before take no new calls."""
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
        """Ends every channel and the calls on it."""
        for task in self._retiring:
            task.cancel()
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()

    def _open(self, target: str) -> grpc.aio.Channel:
        if self._tls is None:
            return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        return grpc.aio.secure_channel(target, self._tls.credentials(), options=(*CHANNEL_OPTIONS, *self._tls.options))

    def _retire(self) -> None:
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:  # the calls under way may finish
            task = asyncio.create_task(channel.close(RETIREMENT_SECONDS))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
