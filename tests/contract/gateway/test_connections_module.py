"""The WebAssembly filter that counts connections by address, without Envoy."""

from collections.abc import Callable
from typing import Any

import pytest
from wasmtime import Engine, Func, Instance, Module, Store

from gateway.envoy.connections import ASSEMBLED, assemble

OK, NOT_FOUND, CAS_MISMATCH = 0, 1, 8


class Envoy:
    """The host functions that the module uses, with a memory that several modules share."""

    def __init__(self, limit: int) -> None:
        self.shared: dict[bytes, tuple[bytes, int]] = {}
        self.refused = 0
        self.address = ""
        self.conflicts = 0
        """The number of following writes that conflict with another thread."""
        self._limit = str(limit).encode()

    def worker(self) -> "Worker":
        return Worker(self)


class Worker:
    """One instance of the module."""

    def __init__(self, envoy: Envoy) -> None:
        self._envoy, self._store = envoy, Store(Engine())
        module = Module(self._store.engine, assemble())
        host: dict[str, Callable[..., int]] = {
            "proxy_get_property": self._property,
            "proxy_get_buffer_bytes": self._buffer,
            "proxy_get_shared_data": self._get,
            "proxy_set_shared_data": self._set,
            "proxy_define_metric": lambda *_: OK,
            "proxy_increment_metric": self._increment,
            "proxy_close_stream": lambda _: OK,
        }
        imports = [Func(self._store, one.type, host[one.name]) for one in module.imports]
        self._exports: Any = Instance(self._store, module, imports).exports(self._store)
        self._memory = self._exports["memory"]
        assert self._exports["proxy_on_configure"](self._store, 1, len(envoy._limit)) == 1

    def opens(self, address: str) -> bool:
        """Whether a connection from the address is accepted."""
        self._envoy.address = address
        return bool(self._exports["proxy_on_new_connection"](self._store, 1) == 0)

    def closes(self, address: str) -> None:
        self._envoy.address = address
        self._exports["proxy_on_downstream_connection_close"](self._store, 1, 0)

    def _returns(self, data: bytes, pointer: int, size: int) -> int:
        at = self._exports["malloc"](self._store, len(data))
        self._memory.write(self._store, data, at)
        self._number(pointer, at)
        self._number(size, len(data))
        return OK

    def _number(self, at: int, value: int) -> None:
        self._memory.write(self._store, value.to_bytes(4, "little"), at)

    def _read(self, at: int, size: int) -> bytes:
        return bytes(self._memory.read(self._store, at, at + size))

    def _property(self, path: int, size: int, pointer: int, length: int) -> int:
        assert self._read(path, size) == b"source\0address"
        return self._returns(self._envoy.address.encode(), pointer, length) if self._envoy.address else NOT_FOUND

    def _buffer(self, kind: int, start: int, size: int, pointer: int, length: int) -> int:
        assert (kind, start, size) == (7, 0, len(self._envoy._limit))
        return self._returns(self._envoy._limit, pointer, length)

    def _get(self, key: int, size: int, pointer: int, length: int, version: int) -> int:
        found = self._envoy.shared.get(self._read(key, size))
        if found is None:
            return NOT_FOUND
        self._number(version, found[1])
        return self._returns(found[0], pointer, length)

    def _set(self, key: int, size: int, value: int, length: int, version: int) -> int:
        slot = self._read(key, size)
        if self._envoy.conflicts:
            self._envoy.conflicts -= 1
            before = int.from_bytes(self._envoy.shared[slot][0], "little")
            self._envoy.shared[slot] = ((before + 1).to_bytes(4, "little"), self._envoy.shared[slot][1] + 1)
        now = self._envoy.shared.get(slot, (b"", 0))[1]
        if version and version != now:
            return CAS_MISMATCH
        self._envoy.shared[slot] = (self._read(value, length), now + 1)
        return OK

    def _increment(self, metric: int, by: int) -> int:
        self._envoy.refused += by
        return OK


@pytest.fixture
def envoy() -> Envoy:
    return Envoy(limit=12)


def test_the_module_in_gen_is_assembled_from_its_source() -> None:
    assert ASSEMBLED.read_bytes() == assemble(), "run `make gen` and commit the result"


def test_workers_count_together_and_forget_closed_connections(envoy: Envoy) -> None:
    one, other = envoy.worker(), envoy.worker()
    assert all(worker.opens(f"192.0.2.1:{port}") for worker in (one, other) for port in range(1000, 1006))
    assert not one.opens("192.0.2.1:2000")
    assert not other.opens("192.0.2.1:2000")
    assert envoy.refused == 2
    assert one.opens("192.0.2.10:1000")
    for _ in range(3):  # Envoy reports the end of refused connections too
        other.closes("192.0.2.1:2000")
    assert one.opens("192.0.2.1:2000")
    assert not one.opens("192.0.2.1:2000")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1:1", "192.0.2.1:65535", True),
        ("192.0.2.1:1", "192.0.2.2:1", False),
        ("192.0.2.11:1", "192.0.2.1:11", False),
        ("[2001:db8:1:2:3::4]:1", "[2001:db8:1:2::5]:1", True),
        ("[2001:db8:1:2:a:b:c:d]:1", "[2001:db8:1:2:3:4:5:6]:9", True),
        ("[2001:db8:1:2::5]:1", "[2001:db8:1:3::5]:1", False),
        ("[2001:db8::1]:1", "[2001:db8::2]:1", True),
        ("[2001:db8::1]:1", "[2001:db9::1]:1", False),
        ("[::1]:1", "[::1]:2", True),
    ],
)
def test_an_address_is_an_ipv4_address_or_an_ipv6_network(envoy: Envoy, one: str, other: str, same: bool) -> None:
    worker = envoy.worker()
    for address in (one, other):
        worker.opens(address)
    assert len(envoy.shared) == (1 if same else 2)


def test_memory_is_bounded_for_any_number_of_addresses(envoy: Envoy) -> None:
    worker = envoy.worker()
    for number in range(20_000):
        worker.opens(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:1")
    assert {len(slot) for slot in envoy.shared} == {2}
    assert len(envoy.shared) > 15_000  # and the addresses are spread over the slots
    assert envoy.refused == 0


def test_concurrent_workers_lose_no_count(envoy: Envoy) -> None:
    worker = envoy.worker()
    worker.opens("192.0.2.1:1")
    envoy.conflicts = 3  # meanwhile another worker counts three connections
    worker.opens("192.0.2.1:2")
    assert [int.from_bytes(count, "little") for count, _ in envoy.shared.values()] == [5]


def test_connections_without_an_address_are_not_counted(envoy: Envoy) -> None:
    worker = envoy.worker()
    assert all(worker.opens("") for _ in range(50))
    worker.closes("")
    assert not envoy.shared
