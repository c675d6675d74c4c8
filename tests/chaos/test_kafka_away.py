"""Kafka is away while the platform works: nothing that happened meanwhile is missing afterwards, with a real broker.

CHAOS_KAFKA_SECONDS is for how long: `make chaos`.
"""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping

import pytest

from deploy.local.kafka import KafkaServer
from deploy.local.process import Process, ProcessSpec, ready_file_written
from deploy.local.stack import Stack
from deploy.local.waiting import holds_within
from tests.adapters.orchestrator.topics import delivered
from tests.chaos.conftest import ENVIRONMENT, Tell, running_stack
from tests.chaos.runs import Runs, runs_of
from tests.chaos.starts import Crowd

SECONDS = float(os.environ.get("CHAOS_KAFKA_SECONDS", "5"))
RUNS_A_SECOND = 4
CAUGHT_UP_SECONDS = 60.0
RETRY = {"max_attempts": 4, "delay_seconds": 0.2}


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, compiled: Mapping[str, str], kafka_server: KafkaServer) -> AsyncIterator[Stack]:
    """A stack whose events go to Kafka."""
    await kafka_server.start()
    environment = {**ENVIRONMENT, **compiled, "KAFKA_BOOTSTRAP_SERVERS": kafka_server.bootstrap_servers}
    async with running_stack(tmp_path_factory.mktemp("kafka-away"), environment) as running:
        yield running
    await kafka_server.start()


@pytest.fixture
async def runs(stack: Stack) -> AsyncIterator[Runs]:
    async with runs_of(stack) as runs:
        yield runs


@pytest.fixture
async def consumer(stack: Stack) -> AsyncIterator[Process]:
    """The consumer that counts events, as a process of its own."""
    worker = stack.process("worker").spec
    ready = stack.state.ready_file("consumer")
    environment = {**worker.environment, "READY_FILE": str(ready)}
    environment.pop("METRICS_PORT")
    process = Process(
        ProcessSpec(
            name="consumer",
            command=[worker.command[0], "-m", "orchestrator.consumer"],
            traces=stack.state.traces("consumer"),
            ready=ready_file_written(ready),
            environment=environment,
            folder=worker.folder,
            prepare=worker.prepare,
        )
    )
    await process.start()
    yield process
    await process.stop()


@pytest.mark.timeout(SECONDS + 2 * CAUGHT_UP_SECONDS + 120)
async def test_events_of_a_platform_whose_kafka_is_away_arrive_afterwards(
    stack: Stack, runs: Runs, consumer: Process, kafka_server: KafkaServer, tell: Tell
) -> None:
    """Every event arrives, in order for each key, once after deduplication; and the consumer has counted each one once."""
    crowd = Crowd(runs, RETRY)
    working = asyncio.create_task(crowd.start_runs(round((SECONDS + 4) * RUNS_A_SECOND), SECONDS + 4))
    assert await holds_within(CAUGHT_UP_SECONDS, lambda: published(runs, 10))
    kafka_server.process.kill()
    await kafka_server.process.crashes.get()
    behind = await log_length(runs)
    await asyncio.wait([working], timeout=SECONDS)
    assert await log_length(runs) > behind, "the platform goes on without Kafka"
    consumer.kill()
    await consumer.crashes.get()
    await kafka_server.start()
    await consumer.start()
    await working
    for start in crowd.starts:
        assert await runs.ended(start.run_id, CAUGHT_UP_SECONDS) == "completed"
    assert await holds_within(CAUGHT_UP_SECONDS, lambda: caught_up(runs))
    repeated = await check_topics(runs, kafka_server)
    assert await holds_within(CAUGHT_UP_SECONDS, lambda: counted(runs)), "the consumer's counts are not the database's"
    tell(
        f"Kafka away for {SECONDS:g} s: {await log_length(runs)} events of {len(crowd.starts)} runs, "
        f"{await log_length(runs) - behind} of them since it left; {repeated} repeated by the broker, all counted once"
    )


async def published(runs: Runs, position: int) -> bool:
    """Whether Kafka has the events up to there."""
    return bool((await runs.rows("SELECT published_position >= $1 AS there FROM event_relay", position))[0]["there"])


async def log_length(runs: Runs) -> int:
    """How many events have happened."""
    return int((await runs.rows("SELECT count(*) AS n FROM outbox"))[0]["n"])


async def caught_up(runs: Runs) -> bool:
    """Whether Kafka has everything that has happened."""
    query = """
        SELECT published_position = last_position AND NOT EXISTS (SELECT FROM outbox WHERE position IS NULL) AS there FROM event_relay
    """
    return bool((await runs.rows(query))[0]["there"])


async def check_topics(runs: Runs, kafka: KafkaServer) -> int:
    """The topics hold the log, in order for each key; returns how many messages are repeated."""
    expected: defaultdict[str, list[str]] = defaultdict(list)
    for row in await runs.rows("SELECT aggregate_id, event_id FROM outbox ORDER BY position"):
        expected[row["aggregate_id"]].append(str(row["event_id"]))
    arrived = await delivered(kafka, {})
    ours = {key: [event.event_id for event in events] for key, events in arrived.items() if key in expected}
    assert {key: list(dict.fromkeys(ids)) for key, ids in ours.items()} == expected
    return sum(map(len, ours.values())) - sum(map(len, expected.values()))


async def counted(runs: Runs) -> bool:
    """Whether the consumer has counted what the database has, no more and no less."""
    told = await runs.rows("SELECT event_type, sum(events)::int AS n FROM event_counts GROUP BY event_type")
    there = await runs.rows("SELECT event_type, count(*)::int AS n FROM outbox GROUP BY event_type")
    return Counter({row["event_type"]: row["n"] for row in told}) == Counter({row["event_type"]: row["n"] for row in there})
