"""Clients that send a credential with every call that does not bring its own."""

from collections.abc import Sequence
from typing import Any, cast

import grpc

Metadata = Sequence[tuple[str, str | bytes]]


def bearer(token: str) -> dict[str, str]:
    """The HTTP header or gRPC metadata for a bearer token."""
    return {"authorization": f"Bearer {token}"}


class _Rpc:
    """A multi-callable that adds the credential."""

    def __init__(self, rpc: Any, credential: tuple[str, str]) -> None:
        self._rpc = rpc
        self._credential = credential

    def __call__(self, request: Any, *, metadata: Metadata | None = None, **options: Any) -> Any:
        given = tuple(metadata or ())
        added = () if any(name in ("authorization", "x-api-key") for name, _ in given) else (self._credential,)
        return self._rpc(request, metadata=(*given, *added), **options)


class _Channel:
    """A channel whose rpcs add the credential; every other attribute is that of the wrapped channel."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._credential = ("authorization", f"Bearer {token}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def unary_unary(self, *arguments: Any, **options: Any) -> _Rpc:
        return _Rpc(self._channel.unary_unary(*arguments, **options), self._credential)

    def unary_stream(self, *arguments: Any, **options: Any) -> _Rpc:
        return _Rpc(self._channel.unary_stream(*arguments, **options), self._credential)


def authorized(channel: grpc.aio.Channel, token: str) -> grpc.aio.Channel:
    """The channel, with the token sent on every call."""
    return cast(grpc.aio.Channel, _Channel(channel, token))
