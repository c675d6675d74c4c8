"""Clients that open as much as they can, with the default limits, while other callers go on.

CHAOS_HOSTILE scales the attacks; 1 (`make chaos`) is 8,192 health watches, 10,000 idle connections and 3,000 watches of events. The test
needs as many open files (`ulimit -n`), and the gateway as many again.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import grpc
import httpx
import pytest
from agentmesh.event.v1 import event_service_pb2 as events
from agentmesh.event.v1.event_service_pb2_grpc import EventServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from deploy.local.stack import Stack
from mesh.rpc.status import error_of
from tests.chaos.conftest import running_stack
from tests.conftest import ReportFigures
from tests.support.credentials import bearer

SCALE = float(os.environ.get("CHAOS_HOSTILE", "0.05"))
HEALTH_WATCHES, IDLE_CONNECTIONS, EVENT_WATCHES = (max(600, int(SCALE * full)) for full in (8_192, 10_000, 3_000))
STREAMS_OF_ADDRESS, STREAMS_OF_USER, CONNECTIONS_OF_ADDRESS = 500, 100, 500
HOSTILE_ADDRESS, OTHER_ADDRESS = "127.0.0.3", "127.0.0.2"
STREAMS_OF_CONNECTION = 900
PASSWORD = "a long enough password"
REFUSED = "RATE_LIMIT_EXCEEDED"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack with the default limits."""
    async with running_stack(tmp_path_factory.mktemp("hostile"), {}) as running:
        yield running


@pytest.fixture(scope="module")
async def mallory(stack: Stack) -> str:
    """The access token of a user."""
    user = {"username": "mallory", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=30, trust_env=False) as http:
        (await http.post("/api/v1/auth/register", json=user)).raise_for_status()
        return str((await http.post("/api/v1/auth/login", json=user)).raise_for_status().json()["access_token"])


class Others:
    """The platform's probes and another user, from another address."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.statuses: Counter[tuple[str, int]] = Counter()

    async def ask(self) -> None:
        """Asks once, on a new connection."""
        transport = httpx.AsyncHTTPTransport(local_address=OTHER_ADDRESS)
        url = f"http://127.0.0.1:{self._stack.ports.gateway}"
        async with httpx.AsyncClient(base_url=url, transport=transport, timeout=30, headers=bearer(self._stack.credentials.token)) as http:
            for path in ("/health", "/ready", "/api/v1/categories"):
                self.statuses[path, (await http.get(path)).status_code] += 1

    async def rate(self, calls: int = 100) -> float:
        """Calls a second, on one connection."""
        began = monotonic()
        async with httpx.AsyncClient(
            base_url=self._stack.gateway_url, timeout=30, headers=bearer(self._stack.credentials.token), trust_env=False
        ) as http:
            for _ in range(calls):
                (await http.get("/api/v1/categories")).raise_for_status()
        return calls / (monotonic() - began)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Asks again and again meanwhile."""
        over = asyncio.Event()

        async def go_on() -> None:
            while not over.is_set():
                await self.ask()

        asking = asyncio.create_task(go_on())
        try:
            yield
            await self.ask()
        finally:
            over.set()
            await asking

    def check(self) -> None:
        """Every answer was 200."""
        assert {status for _, status in self.statuses} == {200}, self.statuses


async def outcome(stream: Any) -> str:
    """`open`, or the reason why the stream was refused."""
    try:
        async with asyncio.timeout(60):
            await stream.wait_for_connection()
            return "open"
    except grpc.aio.AioRpcError as failure:
        error = error_of(failure)
        return error.reason if error else failure.code().name


async def open_streams(
    target: str, number: int, start: Callable[[grpc.aio.Channel], Any]
) -> tuple[Counter[str], Callable[[], Awaitable[Any]]]:
    """Opens streams on as many connections as they need; returns how that ended, and a function that closes them."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(-(-number // STREAMS_OF_CONNECTION))]
    outcomes: Counter[str] = Counter()
    kept = []
    for first in range(0, number, 200):
        batch = [start(channels[place // STREAMS_OF_CONNECTION]) for place in range(first, min(number, first + 200))]
        kept += batch
        outcomes.update(await asyncio.gather(*(outcome(stream) for stream in batch)))

    async def close() -> None:
        for stream in kept:
            stream.cancel()
        await asyncio.gather(*(channel.close() for channel in channels))

    return outcomes, close


async def test_health_watches_of_one_anonymous_client_stop_nobody(stack: Stack, report_figures: ReportFigures) -> None:
    others = Others(stack)
    async with others.asking():
        outcomes, close = await open_streams(
            f"127.0.0.1:{stack.ports.gateway}", HEALTH_WATCHES, lambda channel: HealthStub(channel).Watch(HealthCheckRequest())
        )
        await others.ask()
        await close()
    report_figures(f"{HEALTH_WATCHES} health watches: {dict(outcomes)}; others: {dict(others.statuses)}")
    others.check()
    assert outcomes == {"open": STREAMS_OF_ADDRESS, REFUSED: HEALTH_WATCHES - STREAMS_OF_ADDRESS}


async def test_idle_connections_of_one_address_lock_nobody_out(stack: Stack, report_figures: ReportFigures) -> None:
    others = Others(stack)
    writers, ends = [], []

    async def end(reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            await reader.read()

    async with others.asking():
        for _ in range(IDLE_CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", stack.ports.gateway, local_addr=(HOSTILE_ADDRESS, 0))
            writers.append(writer)
            ends.append(asyncio.create_task(end(reader)))
        await others.ask()
        closed = sum(task.done() for task in ends)
        for writer in writers:
            writer.close()
        await asyncio.gather(*ends)
    report_figures(f"{IDLE_CONNECTIONS} idle connections: {closed} closed at once; others: {dict(others.statuses)}")
    others.check()
    assert closed >= IDLE_CONNECTIONS - CONNECTIONS_OF_ADDRESS


async def test_watches_of_one_user_do_not_slow_down_others(stack: Stack, mallory: str, report_figures: ReportFigures) -> None:
    others = Others(stack)
    alone = await others.rate()
    metadata = tuple(bearer(mallory).items())
    async with others.asking():
        outcomes, close = await open_streams(
            f"127.0.0.1:{stack.ports.gateway}",
            EVENT_WATCHES,
            lambda channel: EventServiceStub(channel).WatchEvents(events.WatchEventsRequest(after_position=0), metadata=metadata),
        )
    beside = await others.rate()
    await close()
    report_figures(f"{EVENT_WATCHES} watches of one user: {dict(outcomes)}; others: {alone:.0f} calls/s alone, {beside:.0f} beside them")
    others.check()
    assert outcomes["open"] <= STREAMS_OF_USER
    assert outcomes[REFUSED] >= EVENT_WATCHES - STREAMS_OF_USER
    assert beside > alone / 2
