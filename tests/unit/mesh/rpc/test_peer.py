"""Whose address a call has."""

from typing import Any

import pytest

from mesh.rpc.peer import Peers

LOCAL = ("127.0.0.0/8", "::1/128", "10.1.0.0/16")


class Context:
    """What gRPC says of a call."""

    def __init__(self, peer: str, *metadata: tuple[str, str]) -> None:
        self._peer = peer
        self._metadata = metadata

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> Any:
        return self._metadata


def address(peer: str, client: str | None = None) -> str:
    context: Any = Context(peer, *([("x-mesh-client", client)] if client is not None else []))
    return Peers(LOCAL).address_of(context)


@pytest.mark.parametrize(
    ("peer", "own"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::1"),
        ("ipv6:%5B2001:db8::1%5D:4711", "2001:db8::1"),
        ("ipv6:[::ffff:192.0.2.1]:4711", "192.0.2.1"),
        ("unix:/tmp/socket", ""),
        ("", ""),
    ],
)
def test_a_caller_without_a_gateway_has_its_own_address_whatever_it_says(peer: str, own: str) -> None:
    assert address(peer) == own
    assert address(peer, "203.0.113.9") == own


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.1:1", "ipv6:[::1]:1", "ipv6:%5B::1%5D:1", "ipv4:10.1.2.3:1", "ipv6:[::ffff:10.1.2.3]:1"])
def test_the_gateways_word_is_taken(peer: str) -> None:
    assert address(peer, "203.0.113.9") == "203.0.113.9"
    assert address(peer, "2001:db8::9") == "2001:db8::9"


@pytest.mark.parametrize("client", ["", "nonsense", "1.2.3.4, 5.6.7.8", "999.1.1.1"])
def test_a_word_that_is_no_address_is_not(client: str) -> None:
    assert address("ipv4:127.0.0.1:1", client) == "127.0.0.1"
