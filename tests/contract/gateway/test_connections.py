"""The limits of open TCP connections at the gateway, and the connections that it closes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.contract.gateway.backend import Backend
from tests.contract.gateway.relay import Relay
from tests.contract.gateway.running import Gateway, running_gateway
from tests.support.raw_http2 import PREFACE, settings
from tests.support.waiting import eventually

REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
ME, OTHER = "127.0.0.2", "127.0.0.3"


class Connections:
    """Connections from one address that send a few bytes and then stay silent."""

    def __init__(self, port: int, address: str) -> None:
        self._port, self._address = port, address
        self._writers: list[asyncio.StreamWriter] = []
        self._ends: list[asyncio.Task[None]] = []

    async def open(self, number: int = 1, data: bytes = b"") -> None:
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._address, 0))
            writer.write(data)
            self._writers.append(writer)
            self._ends.append(asyncio.create_task(_end(reader)))

    async def answered(self) -> bool:
        """Whether a request on a new connection is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._address, 0))
        try:
            writer.write(REQUEST)
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
        finally:
            writer.close()

    @property
    def closed(self) -> int:
        """The number of connections that the gateway has closed."""
        return sum(end.done() for end in self._ends)

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._ends)
        self._writers.clear()
        self._ends.clear()


async def _end(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(10_000):
            pass


@asynccontextmanager
async def connecting(port: int, address: str) -> AsyncIterator[Connections]:
    connections = Connections(port, address)
    yield connections
    await connections.close()


async def refusals(gateway: Gateway) -> Counter[str]:
    """The gateway's metric of refusals, by its labels."""
    lines = (await gateway.admin("/stats/prometheus")).splitlines()
    found = [line.removeprefix("rate_limit_refused_total").split(" ") for line in lines if line.startswith("rate_limit_refused_total")]
    return Counter({labels: int(count) for labels, count in found})


async def test_connections_of_one_address_are_limited_across_workers_without_affecting_others(
    upstream: tuple[Backend, Relay], tmp_path: Path
) -> None:
    async with (
        running_gateway(tmp_path, upstream[1].port, limit_connections_of_address=20, concurrency=4) as gateway,
        connecting(gateway.port, ME) as mine,
        connecting(gateway.port, OTHER) as theirs,
    ):
        await mine.open(50)
        await eventually(lambda: mine.closed == 30)
        assert not await mine.answered()
        assert await theirs.answered()
        counted = '{limit="connections_of_address",caller="address"}'

        async def all_counted() -> bool:
            return (await refusals(gateway))[counted] == 31

        await eventually(all_counted)
        await mine.close()
        await eventually(mine.answered)


async def test_all_connections_together_are_limited(upstream: tuple[Backend, Relay], tmp_path: Path) -> None:
    async with (
        running_gateway(tmp_path, upstream[1].port, limit_connections=20) as gateway,
        connecting(gateway.port, ME) as mine,
        connecting(gateway.port, OTHER) as theirs,
    ):
        await mine.open(10)
        await theirs.open(20)
        await eventually(lambda: theirs.closed >= 10)
        assert mine.closed == 0


async def test_behind_trusted_proxies_addresses_are_not_limited(upstream: tuple[Backend, Relay], tmp_path: Path) -> None:
    async with (
        running_gateway(tmp_path, upstream[1].port, limit_connections_of_address=5, trusted_hops=1) as gateway,
        connecting(gateway.port, ME) as mine,
    ):
        await mine.open(20)
        assert await mine.answered()
        assert mine.closed == 0


@pytest.fixture(scope="module")
async def impatient(upstream: tuple[Backend, Relay], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway that waits half a second for a request."""
    folder = tmp_path_factory.mktemp("impatient")
    async with running_gateway(folder, upstream[1].port, connection_idle_seconds=0.5, headers_timeout_seconds=0.5) as gateway:
        yield gateway


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", REQUEST[:-2], PREFACE[:10], PREFACE, PREFACE + settings()],
    ids=["nothing", "one byte", "slow headers", "half a preface", "a preface", "a preface and settings"],
)
async def test_connections_without_a_request_are_closed(impatient: Gateway, sent: bytes) -> None:
    async with connecting(impatient.port, ME) as mine:
        await mine.open(3, sent)
        await eventually(lambda: mine.closed == 3, within=10)
        assert await mine.answered()


async def test_requests_over_the_rate_are_counted_as_refusals(upstream: tuple[Backend, Relay], tmp_path: Path) -> None:
    async with running_gateway(tmp_path, upstream[1].port, per_ip_rate=1, per_ip_burst=5) as gateway:
        refused = [await gateway.http.get("/api/v1/agents") for _ in range(10)]
        number = sum(response.status_code == 429 for response in refused)

        async def all_counted() -> bool:
            return (await refusals(gateway))['{limit="requests_of_address",caller="address"}'] == number > 0

        await eventually(all_counted)
