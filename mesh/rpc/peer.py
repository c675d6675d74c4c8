"""The address from which a call comes."""

import hmac
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import unquote

import grpc

from mesh.rpc.interceptors.behaviour import metadata_value

CLIENT_KEY = "x-mesh-client"
"""Metadata in which the gateway names the caller. It removes this header from external requests."""
GATEWAY_KEY = "x-mesh-gateway"
"""Metadata with the gateway's secret. It removes this header from external requests too."""
Context = grpc.aio.ServicerContext[Any, Any]


class Peers:
    """Tells the addresses of callers.

    Only a gateway that shows one of the secrets may name a caller: an address proves nothing, because others share the gateway's machine.
    Without secrets every caller has the address of its connection.
    """

    def __init__(self, gateway_secrets: Sequence[str]) -> None:
        self._secrets = [secret.encode() for secret in gateway_secrets]

    def address_of(self, context: Context) -> str:
        """The caller's address; empty if it has none, as on a Unix socket."""
        peer = _address(_host(context.peer()))
        if self.is_gateway(context):
            return str(_address(metadata_value(context, CLIENT_KEY) or "") or peer or "")
        return "" if peer is None else str(peer)

    def is_gateway(self, context: Context) -> bool:
        """Whether the call comes through a gateway that has proved itself. Takes the same time for every wrong secret."""
        shown = (metadata_value(context, GATEWAY_KEY) or "").encode()
        matches = [hmac.compare_digest(shown, secret) for secret in self._secrets]
        return any(matches)


def _host(peer: str) -> str:
    """The host of gRPC's `ipv4:127.0.0.1:1234` or `ipv6:%5B::1%5D:1234`."""
    _, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
