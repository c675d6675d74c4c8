"""The client address of a call."""

from typing import Any

import pytest

from mesh.rpc.peer import Peers

SECRET, NEXT = "a secret of the gateway's", "the next one"


class Context:
    """The part of a servicer context from which the address is read."""

    def __init__(self, peer: str, *metadata: tuple[str, str]) -> None:
        self._peer = peer
        self._metadata = metadata

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> Any:
        return self._metadata


def address(peer: str, client: str | None = None, secret: str | None = None) -> str:
    metadata = {"x-mesh-client": client, "x-mesh-gateway": secret}
    context: Any = Context(peer, *((key, value) for key, value in metadata.items() if value is not None))
    return Peers([SECRET, NEXT]).address_of(context)


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
def test_the_address_of_a_direct_caller_is_that_of_its_connection(peer: str, own: str) -> None:
    assert address(peer) == own
    assert address(peer, "203.0.113.9") == own


PEERS = ["ipv4:127.0.0.1:1", "ipv6:[::1]:1", "ipv6:%5B::1%5D:1", "ipv4:10.1.2.3:1", "ipv6:[::ffff:10.1.2.3]:1", "unix:/tmp/socket"]


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("secret", [SECRET, NEXT])
def test_a_gateway_with_the_secret_names_the_callers_address(peer: str, secret: str) -> None:
    assert address(peer, "203.0.113.9", secret) == "203.0.113.9"
    assert address(peer, "2001:db8::9", secret) == "2001:db8::9"


@pytest.mark.parametrize("secret", [None, "", "another", SECRET + "x", SECRET[:-1], "ü"])
def test_forwarded_addresses_are_ignored_without_the_secret(secret: str | None) -> None:
    assert address("ipv4:127.0.0.1:1", "203.0.113.9", secret) == "127.0.0.1"
    assert address("ipv6:[::1]:1", "203.0.113.9", secret) == "::1"


def test_an_empty_gateway_secret_authenticates_no_gateway() -> None:
    context: Any = Context("ipv4:127.0.0.1:1", ("x-mesh-client", "203.0.113.9"), ("x-mesh-gateway", ""))
    assert Peers([]).address_of(context) == "127.0.0.1"


@pytest.mark.parametrize("client", ["", "nonsense", "1.2.3.4, 5.6.7.8", "999.1.1.1"])
def test_a_forwarded_value_that_is_not_an_address_is_ignored(client: str) -> None:
    assert address("ipv4:127.0.0.1:1", client, SECRET) == "127.0.0.1"
