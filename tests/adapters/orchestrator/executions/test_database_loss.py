"""PostgreSQL is killed or restarted while intents and settlements are being written. These tests have their own server."""

import asyncio
import os
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest

from deploy.local.servers.postgres import PostgresServer
from mesh.errors import ServiceUnavailable
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.executions.sweeper import Sweeper
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.adapters.postgres.migration import migrate
from orchestrator.executions.model import Intent
from tests.adapters.orchestrator import looking
from tests.adapters.orchestrator.conftest import LEASE_SECONDS
from tests.adapters.orchestrator.looking import Connection
from tests.support.ports import any_free_port
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import completed, intent, keyed

CALLERS = 24


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("mortal"), any_free_port(), settings={"fsync": "off"})
    await server.start()
    yield server
    await server.stop()
    server.erase()


@pytest.fixture
async def url(server: PostgresServer) -> str:
    url = await server.create_database(f"books_{secrets.token_hex(4)}")
    engine = create_engine(url, 1, 0)
    await migrate(engine)
    await engine.dispose()
    return url


@dataclass
class Traffic:
    """Callers that buy continuously, every second one with an idempotency key."""

    recorder: PostgresRecorder
    settled: list[Intent] = field(default_factory=list)
    refused: list[Intent] = field(default_factory=list)
    lost: list[Intent] = field(default_factory=list)
    over: bool = False

    async def caller(self, number: int) -> None:
        turn = 0
        while not self.over:
            turn += 1
            await self.buy(keyed(f"{number}-{turn}") if number % 2 else intent())

    async def buy(self, one: Intent) -> None:
        try:
            assert await self.recorder.record(one) is None
        except ServiceUnavailable:
            self.refused.append(one)
            await asyncio.sleep(0.02)  # as a client that retries would
            return
        (self.settled if await self.recorder.settle(completed(one)) else self.lost).append(one)

    async def flows(self, settled: int = 200) -> None:
        """Returns once this many more purchases are settled."""
        goal = len(self.settled) + settled

        async def reached() -> bool:
            return len(self.settled) >= goal

        await eventually(reached, within=20)


async def killed(server: PostgresServer) -> None:
    """The server is killed and started again."""
    server.process.kill(signal.SIGKILL)

    async def ended() -> bool:
        return not server.process.running

    await eventually(ended)


async def stopped(server: PostgresServer) -> None:
    """The server ends its sessions in an orderly shutdown."""
    await server.stop()


async def session_killed(server: PostgresServer) -> None:
    """One session is killed; the server then ends all the others and recovers on its own."""
    connection = await asyncpg.connect(server.url("postgres").replace("+asyncpg", ""))
    pids = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'agentmesh-recorder'")
    os.kill(pids[0]["pid"], signal.SIGKILL)
    await connection.close()


@pytest.mark.parametrize("lost", [killed, stopped, session_killed], ids=lambda how: how.__name__)
async def test_purchases_in_flight_when_the_database_stops_are_refused_or_settled_exactly_once(
    server: PostgresServer, url: str, lost: Callable[[PostgresServer], Awaitable[None]]
) -> None:
    async with PostgresRecorder(url, LEASE_SECONDS, BackgroundTasks()) as recorder:
        traffic = Traffic(recorder)
        callers = [asyncio.create_task(traffic.caller(number)) for number in range(CALLERS)]
        for _ in range(2):
            await traffic.flows()
            await lost(server)
            if not server.process.running:
                await asyncio.gather(*(traffic.buy(intent()) for _ in range(20)))
            await server.start()
            await traffic.flows()
        traffic.over = True
        await asyncio.gather(*callers)
    assert traffic.lost == []
    assert len(traffic.refused) >= (0 if lost is session_killed else 40)
    await assert_books_are_whole(url, traffic)


async def assert_books_are_whole(url: str, traffic: Traffic) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        rows = {row["execution_id"]: row for row in await connection.fetch("SELECT * FROM executions")}
        events = Counter(looking.data(event)["execution_id"] for event in await looking.events(connection))
        held = {row["resource_id"] for row in await connection.fetch("SELECT resource_id FROM idempotency_keys WHERE NOT free")}
    finally:
        await connection.close()
    assert {rows[one.execution_id]["status"] for one in traffic.settled} == {"completed"}
    refused = [rows[one.execution_id] for one in traffic.refused if one.execution_id in rows]
    assert {(row["status"], row["cost_micro_usd"]) for row in refused} <= {("failed", 0)}
    assert events == Counter(map(str, rows))
    assert held == {one.execution_id for one in traffic.settled if one.claim}


async def test_a_call_in_progress_is_settled_after_the_database_returns(server: PostgresServer, url: str) -> None:
    async with PostgresRecorder(url, LEASE_SECONDS, BackgroundTasks()) as recorder:
        recorded = [keyed(f"key-{number}") for number in range(50)]
        await asyncio.gather(*map(recorder.record, recorded))
        await killed(server)
        settling = [asyncio.create_task(recorder.settle(completed(one))) for one in recorded]
        with pytest.raises(ServiceUnavailable):
            await recorder.record(intent())
        await server.start()
        assert await asyncio.gather(*settling) == [True] * 50
        assert await recorder.record(intent()) is None


async def test_a_settlement_that_waits_longer_than_its_lease_raises_outcome_unknown(server: PostgresServer, url: str) -> None:
    """The sweeper then settles the execution at its worst case."""
    async with PostgresRecorder(url, lease_seconds=0.5, tasks=BackgroundTasks()) as recorder:
        recorded = intent()
        await recorder.record(recorded)
        await killed(server)
        assert not await recorder.settle(completed(recorded))
        await server.start()
        assert await Sweeper(url, 1).sweep() == 1


async def test_a_sweeper_waits_for_a_database_that_is_down(server: PostgresServer, url: str) -> None:
    async with PostgresRecorder(url, LEASE_SECONDS, BackgroundTasks()) as recorder:
        orphan = intent()
        await recorder.record(orphan)
        await killed(server)
        sweeping = asyncio.create_task(Sweeper(url, every_seconds=0.05).run())
        await asyncio.wait([sweeping], timeout=0.2)
        await server.start()
        connection: Connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        await looking.expire(connection, orphan.execution_id)

        async def swept() -> bool:
            return await looking.state(connection, orphan) == "outcome_unknown"

        await eventually(swept)
        await connection.close()
        sweeping.cancel()
        await asyncio.wait([sweeping])
