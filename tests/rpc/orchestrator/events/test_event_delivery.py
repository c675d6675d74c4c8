"""Orchestrators that are killed, hang or stop: every event still reaches Kafka and the watchers."""

import contextlib
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from agentmesh.event.v1 import event_service_pb2 as pb

from deploy.local.servers.kafka import KafkaServer
from orchestrator.adapters.events.outbox_relay import IDLE_TIMEOUT_SECONDS
from tests.adapters.agent_host.running import Host
from tests.adapters.orchestrator.events.event_log import emit, leaders, none_unpublished, none_waits
from tests.adapters.orchestrator.events.topics import delivered, offsets
from tests.adapters.orchestrator.looking import Connection
from tests.conftest import CreateDatabase
from tests.rpc.orchestrator.running import USER, documented_error, running_orchestrator, start_orchestrator
from tests.support.waiting import eventually


@pytest.fixture
async def settings(create_database: CreateDatabase, shared_host: Host, redis_url: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of an orchestrator with books of its own."""
    return {
        "DATABASE_URL": await create_database(f"delivery_{abs(hash(request.node.name)) % 10**8}"),
        "REDIS_URL": redis_url,
        "DEFINITIONS_PATH": str(shared_host.log.parent / "definitions"),
        "PORT_OFFSET": str(shared_host.offset),
    }


@contextlib.asynccontextmanager
async def books(settings: dict[str, str]) -> AsyncIterator[Connection]:
    db = await asyncpg.connect(settings["DATABASE_URL"].replace("+asyncpg", ""))
    try:
        yield db
    finally:
        await db.close()


async def test_a_relay_killed_after_publishing_repeats_events_and_loses_none(
    settings: dict[str, str], kafka_server: KafkaServer, tmp_path: Path
) -> None:
    """Killed between Kafka's acknowledgement and the write to the books: the next relay repeats the events, and consumers skip them."""
    since = await offsets(kafka_server)
    settings["KAFKA_BOOTSTRAP_SERVERS"] = kafka_server.bootstrap_servers
    doomed = await start_orchestrator(_folder(tmp_path, "doomed"), **settings, FAILPOINTS="relay.after_publishing")
    async with books(settings) as db:
        ids = await emit(db, *(f"agent_{n % 3}" for n in range(30)))
        await doomed.process.wait()
        await doomed.anonymous.close()
        assert not await none_unpublished(db)
        before = await delivered(kafka_server, since)
        assert sum(map(len, before.values())) > 0
        async with running_orchestrator(_folder(tmp_path, "next"), **settings):
            await eventually(partial(none_unpublished, db), within=20)
        after = await delivered(kafka_server, since)
        own = {key: events for key, events in after.items() if key.startswith("agent_")}
        assert sum(map(len, own.values())) > len(ids), "the relay was killed too late: no event was published twice"
        for n in range(3):
            assert list(dict.fromkeys(event.event_id for event in own[f"agent_{n}"])) == ids[n::3]


async def test_the_other_orchestrator_relays_when_the_first_is_killed(settings: dict[str, str], tmp_path: Path) -> None:
    first = await start_orchestrator(_folder(tmp_path, "first"), **settings)
    async with books(settings) as db:
        await eventually(partial(leaders, db))
        async with running_orchestrator(_folder(tmp_path, "second"), **settings) as second:
            await emit(db, "a", "b")
            await eventually(partial(none_waits, db))
            assert (len(first.logged("relay_elected")), second.logged("relay_elected")) == (1, [])
            first.process.kill()
            await first.process.wait()
            await first.anonymous.close()
            await emit(db, "a", "b")
            await eventually(partial(none_waits, db))
            assert [line["epoch"] for line in second.logged("relay_elected")] == [2]
            positions = await db.fetch("SELECT position FROM outbox ORDER BY position")
            assert [row["position"] for row in positions] == list(range(1, len(positions) + 1))


async def test_a_relay_that_hangs_is_replaced_and_changes_nothing_when_it_resumes(settings: dict[str, str], tmp_path: Path) -> None:
    async with running_orchestrator(_folder(tmp_path, "first"), **settings) as first, books(settings) as db:
        await eventually(partial(leaders, db))
        async with running_orchestrator(_folder(tmp_path, "second"), **settings) as second:
            first.process.send_signal(signal.SIGSTOP)
            ids = await emit(db, "a", "b")
            await eventually(partial(none_waits, db), within=IDLE_TIMEOUT_SECONDS + 10)
            assert len(second.logged("relay_elected")) == 1
            first.process.send_signal(signal.SIGCONT)

            async def given_up() -> bool:
                return bool(first.logged("relay_stopped"))

            await eventually(given_up)
            ids += await emit(db, *"abcdef")
            await eventually(partial(none_waits, db))
            rows = await db.fetch("SELECT position, event_id FROM outbox WHERE source = 'tests' ORDER BY position")
            assert [str(row["event_id"]) for row in rows] == ids
            assert len({row["position"] for row in rows}) == len(ids)
            assert await db.fetchval("SELECT count(*) = max(position) FROM outbox")


async def test_a_stopping_server_ends_its_watches_and_they_resume_on_another(settings: dict[str, str], tmp_path: Path) -> None:
    async with books(settings) as db:
        async with running_orchestrator(_folder(tmp_path, "first"), **settings) as first:
            me = await db.fetchval("SELECT id FROM users WHERE username = $1", USER)
            watch: Any = first.events.WatchEvents(pb.WatchEventsRequest(after_position=0, aggregate_id="mine"), timeout=60)
            await emit(db, "mine", user_id=me)
            seen = (await watch.read()).logged
            assert await first.stop() == 0
            last = await watch.read()
            assert (last.WhichOneof("event"), last.error.code) == ("error", "SERVICE_UNAVAILABLE")
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await watch.read()
            assert documented_error(ended.value).reason == "SERVICE_UNAVAILABLE"
            (missed,) = await emit(db, "mine", user_id=me)
        async with running_orchestrator(_folder(tmp_path, "next"), **settings) as second:
            request = pb.WatchEventsRequest(after_position=seen.position, aggregate_id="mine")
            again: Any = second.events.WatchEvents(request, timeout=60)
            assert (await again.read()).logged.event_id == missed


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
