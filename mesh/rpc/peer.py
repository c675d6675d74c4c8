"""Where a call comes from."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

from mesh.rpc.interceptors.behaviour import Context, metadata_value

LOOPBACK = ("127.0.0.0/8", "::1/128")
FORWARDED_KEY = "x-forwarded-for"
"""To which the gateway adds the address of whoever is connected to it, as the last one."""


class TrustedProxies:
    """The networks whose word on where a call comes from is taken: the gateway's."""

    def __init__(self, networks: Sequence[str] = LOOPBACK) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(network) for network in networks]

    def address_of(self, context: Context) -> str:
        """The caller's IP address; of IPv6 the /64, for whoever has one address of it has them all."""
        peer = _peer(str(context.peer()))
        forwarded = metadata_value(context, FORWARDED_KEY)
        if forwarded is not None and self._trusts(peer):
            peer = forwarded.rpartition(",")[2].strip()
        return _counted(peer)

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _peer(said: str) -> str:
    """The host in gRPC's `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`; anything else as it is."""
    kind, _, rest = unquote(said).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else said


def _counted(address: str) -> str:
    try:
        known = ip_address(address)
    except ValueError:
        return "unknown"
    if not isinstance(known, IPv6Address):
        return str(known)
    return str(known.ipv4_mapped) if known.ipv4_mapped else str(ip_network((known, 64), strict=False).network_address)
