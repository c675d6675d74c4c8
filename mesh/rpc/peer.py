"""From which address a call comes."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import unquote

import grpc

from mesh.rpc.interceptors.behaviour import metadata_value

CLIENT_KEY = "x-mesh-client"
"""Metadata in which the gateway says whose call it forwards; it takes off what others have put there."""
Context = grpc.aio.ServicerContext[Any, Any]


class Peers:
    """Tells callers' addresses. From `proxies` (networks in CIDR notation) the gateway's word is taken, from nobody else."""

    def __init__(self, proxies: Sequence[str]) -> None:
        self._proxies = [ip_network(proxy) for proxy in proxies]

    def address_of(self, context: Context) -> str:
        """The caller's address; empty where there is none, as on a Unix socket."""
        peer = _address(_host(context.peer()))
        if peer is None:
            return ""
        if any(peer in network for network in self._proxies):
            return str(_address(metadata_value(context, CLIENT_KEY) or "") or peer)
        return str(peer)


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
