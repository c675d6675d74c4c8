"""Kafka is killed and stays down while the platform works: every event arrives afterwards, and is counted once.

KAFKA_AWAY_SECONDS sets the duration: see `make chaos`.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from time import monotonic

import asyncpg
import pytest

from deploy.local.servers.kafka import KafkaServer
from deploy.local.stack import Stack
from deploy.local.supervision.waiting import holds_within
from tests.adapters.orchestrator.events.event_log import emit
from tests.adapters.orchestrator.events.topics import delivered
from tests.adapters.orchestrator.looking import Connection
from tests.chaos.calls import Call, new_request_id
from tests.chaos.clients import RestClient, rest_client
from tests.chaos.conftest import ENVIRONMENT
from tests.chaos.recovery import well
from tests.conftest import ReportFigures
from tests.support.ports import free_port_offset

AWAY_SECONDS = float(os.environ.get("KAFKA_AWAY_SECONDS", "8"))
CATCH_UP_SECONDS = 60.0
EVENTS_AT_ONCE, PAUSE_SECONDS = 6, 0.02
"""Three hundred a second, if the machine keeps up."""
COUNTED = "SELECT event_type, user_id, sum(events)::int AS n FROM event_counts GROUP BY 1, 2 ORDER BY 1, 2"
LOGGED = "SELECT event_type, coalesce(user_id, 0) AS user_id, count(*)::int AS n FROM outbox GROUP BY 1, 2 ORDER BY 1, 2"


@pytest.fixture
async def stack(tmp_path_factory: pytest.TempPathFactory, compiled: dict[str, str], kafka_jars: object) -> AsyncIterator[Stack]:
    with free_port_offset() as offset:
        running = Stack(tmp_path_factory.mktemp("kafka_away"), offset, environment={**ENVIRONMENT, **compiled}, kafka=True)
        async with running:
            yield running
        running.erase()


async def writing(db: Connection, over: asyncio.Event) -> None:
    """Writes events as services do, of forty aggregates."""
    turn = 0
    while not over.is_set():
        await emit(db, *(f"agent_{(turn + n) % 40}" for n in range(EVENTS_AT_ONCE)), user_id=1 + turn % 5)
        turn += EVENTS_AT_ONCE
        await asyncio.sleep(PAUSE_SECONDS)


async def calling(client: RestClient, over: asyncio.Event) -> int:
    """Makes agent calls, which succeed throughout."""
    count = 0
    while not over.is_set():
        await client.ask(Call(f"What would you look at first? (case {count})"), new_request_id())
        count += 1
        await asyncio.sleep(0.2)
    return count


async def killed(kafka: KafkaServer) -> None:
    """Kill the broker and keep it down: the supervisor does not restart what was stopped deliberately."""
    kafka.process.kill()
    await kafka.process.stop()


@pytest.mark.timeout(AWAY_SECONDS + CATCH_UP_SECONDS + 180)
async def test_every_event_arrives_after_a_kafka_outage(stack: Stack, report_figures: ReportFigures) -> None:
    assert stack.kafka is not None
    await well(stack)
    looking, db = [await asyncpg.connect(stack.database_url.replace("+asyncpg", "")) for _ in range(2)]
    over = asyncio.Event()

    async def all_counted() -> bool:
        return list(await looking.fetch(COUNTED)) == list(await looking.fetch(LOGGED))

    async with rest_client(stack) as client, asyncio.TaskGroup() as load:
        load.create_task(writing(db, over))
        calls = load.create_task(calling(client, over))
        await asyncio.sleep(3)
        await killed(stack.kafka)
        at_kill = await looking.fetchval("SELECT last_position FROM event_relay")
        await asyncio.sleep(AWAY_SECONDS)
        meanwhile = await looking.fetchval("SELECT last_position FROM event_relay") - at_kill
        await stack.kafka.start()
        back = monotonic()
        over.set()
    assert await holds_within(CATCH_UP_SECONDS, all_counted), "the consumer's counts differ from the log"
    caught_up = monotonic() - back
    rows = await looking.fetch("SELECT aggregate_id, event_id FROM outbox ORDER BY position")
    expected: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        expected[row["aggregate_id"]].append(str(row["event_id"]))
    arrived = await delivered(stack.kafka, {})
    assert {key: list(dict.fromkeys(event.event_id for event in events)) for key, events in arrived.items()} == expected
    assert await looking.fetchval("SELECT count(*) FROM dead_events") == 0
    assert meanwhile > 20 * AWAY_SECONDS
    repeated = sum(map(len, arrived.values())) - len(rows)
    report_figures(
        f"Kafka away for {AWAY_SECONDS:g} s: {len(rows)} events, {meanwhile} of them meanwhile, {calls.result()} agent calls; "
        f"all counted {caught_up:.1f} s after it was back, {repeated} repeated, none lost, none out of order"
    )
    await looking.close()
    await db.close()
