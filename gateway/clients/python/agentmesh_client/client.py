"""The clients: for threads and for asyncio."""

from importlib.metadata import PackageNotFoundError, version
from typing import Self
from urllib.parse import urlsplit

import grpc

from agentmesh_client.calls import AsyncCalls, Calls
from agentmesh_client.credentials import Credentials
from agentmesh_client.retries import RetryPolicy
from agentmesh_client.services import AsyncServices, Services

try:
    __version__ = version("agentmesh-client")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0"

TIMEOUT_SECONDS = 120.0
"""How long a call may take with all its tries, unless the caller says otherwise. Watches have no limit."""
_OPTIONS = (
    ("grpc.primary_user_agent", f"agentmesh-client/{__version__}"),
    # The client itself decides which calls may be repeated.
    ("grpc.enable_retries", 0),
    # Finds out within 40 s that a connection is dead. A watched run can be silent for hours, apart from a heartbeat every 15 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class Client(Services):
    """A client for threads. Close it, or use it as a context manager."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
        root_certificates: bytes | None = None,
    ) -> None:
        """`url` is the gateway's: http://host:port or https://host:port. `root_certificates` (PEM) replace those of gRPC."""
        target, tls = _target(url)
        trust = grpc.ssl_channel_credentials(root_certificates) if tls else None
        self._channel = grpc.secure_channel(target, trust, _OPTIONS) if trust else grpc.insecure_channel(target, _OPTIONS)
        super().__init__(Calls(self._channel, credentials or Credentials(), timeout, retry or RetryPolicy()))

    def close(self) -> None:
        """Ends all calls and closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncClient(AsyncServices):
    """A client for asyncio. Create it inside the event loop. Close it, or use it as an asynchronous context manager."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
        root_certificates: bytes | None = None,
    ) -> None:
        """`url` is the gateway's: http://host:port or https://host:port. `root_certificates` (PEM) replace those of gRPC."""
        target, tls = _target(url)
        trust = grpc.ssl_channel_credentials(root_certificates) if tls else None
        self._channel = grpc.aio.secure_channel(target, trust, _OPTIONS) if trust else grpc.aio.insecure_channel(target, _OPTIONS)
        super().__init__(AsyncCalls(self._channel, credentials or Credentials(), timeout, retry or RetryPolicy()))

    async def close(self) -> None:
        """Ends all calls and closes the connection."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


def _target(url: str) -> tuple[str, bool]:
    """The host and port for gRPC, and whether to use TLS. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"invalid address of the gateway {url!r}: write http://host:port or https://host:port")
    tls = parts.scheme == "https"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or (443 if tls else 80)}", tls
