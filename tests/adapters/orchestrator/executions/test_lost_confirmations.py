"""What happens to a commit whose connection is lost: before the server received it, or after the server made it."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url

from deploy.local.servers.postgres import PostgresServer
from mesh.errors import ServiceUnavailable
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.postgres import connection as postgres_connection
from orchestrator.executions.model import Intent
from orchestrator.idempotency.model import OriginalRequest
from tests.adapters.orchestrator import looking
from tests.adapters.orchestrator.conftest import LEASE_SECONDS
from tests.adapters.orchestrator.executions.relay import Relay
from tests.adapters.orchestrator.looking import Connection
from tests.support.ports import any_free_port
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import completed, failed, intent, keyed


@pytest.fixture
async def relay(postgres_server: PostgresServer) -> AsyncIterator[Relay]:
    async with Relay(postgres_server.port) as relay:
        yield relay


@pytest.fixture
async def recorder(books_url: str, relay: Relay) -> AsyncIterator[PostgresRecorder]:
    """A recorder behind the relay. Its statements are prepared, so that one packet is one commit."""
    through_relay = make_url(books_url).set(port=relay.port).render_as_string(hide_password=False)
    async with PostgresRecorder(through_relay, LEASE_SECONDS, BackgroundTasks()) as recorder:
        for first in (intent(), keyed("warm")):
            await recorder.record(first)
            await recorder.settle(completed(first))
        yield recorder


async def settled(db: Connection, of: Intent) -> bool:
    return await looking.state(db, of) != "running"


async def test_a_settlement_with_a_lost_confirmation_counts_once(recorder: PostgresRecorder, db: Connection, relay: Relay) -> None:
    recorded = keyed("k")
    await recorder.record(recorded)
    relay.lose_answer_to(str(recorded.execution_id).encode())
    assert await recorder.settle(failed(recorded, retryable=True))
    assert relay.cut == 1
    assert (await looking.state(db, recorded), len(await looking.events(db, recorded))) == ("failed", 1)
    assert (await looking.key(db, recorded))["free"]


async def test_a_settlement_that_never_reached_the_server_is_written_by_the_next_attempt(
    recorder: PostgresRecorder, db: Connection, relay: Relay
) -> None:
    recorded = intent()
    await recorder.record(recorded)
    relay.lose_request(str(recorded.execution_id).encode())
    assert await recorder.settle(completed(recorded))
    assert relay.cut == 1
    assert (await looking.state(db, recorded), len(await looking.events(db, recorded))) == ("completed", 1)


async def test_every_settlement_of_a_group_with_a_lost_confirmation_counts_once(
    recorder: PostgresRecorder, db: Connection, relay: Relay
) -> None:
    recorded = [intent() for _ in range(200)]
    await asyncio.gather(*map(recorder.record, recorded))
    relay.lose_answer_to(str(recorded[100].execution_id).encode())
    assert await asyncio.gather(*(recorder.settle(completed(one)) for one in recorded)) == [True] * 200
    assert relay.cut == 1
    events = [looking.data(event)["execution_id"] for event in await looking.events(db)]
    assert sorted(events[-200:]) == sorted(str(one.execution_id) for one in recorded)
    assert await db.fetchval("SELECT count(*) FROM executions WHERE status = 'completed'") == 202


async def test_a_settlement_made_by_another_process_is_not_taken_for_ones_own(
    recorder: PostgresRecorder, db: Connection, relay: Relay
) -> None:
    recorded = intent()
    await recorder.record(recorded)
    await db.execute("UPDATE executions SET status = 'outcome_unknown', epoch = 2 WHERE execution_id = $1", recorded.execution_id)
    relay.lose_answer_to(str(recorded.execution_id).encode())
    assert not await recorder.settle(completed(recorded))


async def test_an_intent_with_a_lost_confirmation_is_refused_and_settled_at_no_cost(
    recorder: PostgresRecorder, db: Connection, relay: Relay
) -> None:
    refused = intent()
    relay.lose_answer_to(str(refused.execution_id).encode())
    with pytest.raises(ServiceUnavailable) as error:
        await recorder.record(refused)
    assert error.value.details == {"component": "postgresql"}
    await eventually(lambda: settled(db, refused))
    row, (event,) = await looking.execution(db, refused), await looking.events(db, refused)
    assert (row["status"], row["model"], row["cost_micro_usd"], looking.data(event)["cost_micro_usd"]) == ("failed", None, 0, 0)
    assert json.loads(row["failure"])["reason"] == "SERVICE_UNAVAILABLE"


async def test_the_key_of_an_intent_refused_after_a_lost_confirmation_is_released(
    recorder: PostgresRecorder, db: Connection, relay: Relay
) -> None:
    refused, again = keyed("k", b"one"), keyed("k", b"two")
    relay.lose_answer_to(b"COMMIT;")
    with pytest.raises(ServiceUnavailable):
        await recorder.record(refused)
    assert relay.cut == 1
    await eventually(lambda: settled(db, refused))
    assert await recorder.record(again) is None
    assert await recorder.record(keyed("k", b"one")) == OriginalRequest(again.execution_id, b"two")


async def test_an_intent_that_never_reached_the_server_is_refused_and_recorded_as_refused(
    recorder: PostgresRecorder, db: Connection, relay: Relay
) -> None:
    refused = intent()
    relay.lose_request(str(refused.execution_id).encode())
    with pytest.raises(ServiceUnavailable):
        await recorder.record(refused)

    async def refused_at_no_cost() -> bool:
        return bool(await db.fetchval("SELECT count(*) FROM executions WHERE status = 'failed' AND cost_micro_usd = 0"))

    await eventually(refused_at_no_cost)
    assert len(await looking.events(db, refused)) == 1


async def test_an_unreachable_database_refuses_at_once_and_leaves_nothing_to_settle(books_url: str) -> None:
    nowhere = make_url(books_url).set(port=any_free_port()).render_as_string(hide_password=False)
    async with asyncio.timeout(2), PostgresRecorder(nowhere, LEASE_SECONDS, BackgroundTasks()) as recorder:
        outcomes = await asyncio.gather(*(recorder.record(intent()) for _ in range(300)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ServiceUnavailable] * 300


async def test_a_group_of_intents_with_an_unknown_outcome_is_refused(recorder: PostgresRecorder, db: Connection, relay: Relay) -> None:
    refused = [intent() for _ in range(100)]
    relay.lose_answer_to(str(refused[50].execution_id).encode())
    outcomes = await asyncio.gather(*map(recorder.record, refused), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ServiceUnavailable] * 100

    async def all_refused_at_no_cost() -> bool:
        return bool(await db.fetchval("SELECT count(*) = 100 FROM executions WHERE status = 'failed' AND cost_micro_usd = 0"))

    await eventually(all_refused_at_no_cost)
    assert len(await looking.events(db)) == 102


async def test_a_database_that_hangs_refuses_intents_in_bounded_time_and_is_used_again_afterwards(
    books_url: str, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server commits the abandoned statement when the lock is released: it must neither stay open nor cost anything."""
    monkeypatch.setattr(postgres_connection, "COMMAND_SECONDS", 0.3)
    async with PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks()) as recorder:
        under_way, refused = intent(), keyed("k")
        await recorder.record(under_way)
        async with db.transaction():
            await db.execute("LOCK TABLE executions IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(ServiceUnavailable):
                await recorder.record(refused)
            settling = asyncio.create_task(recorder.settle(completed(under_way)))
            done, _ = await asyncio.wait([settling], timeout=0.5)
            assert not done
        assert await settling
        assert await recorder.record(intent()) is None
    assert (await looking.state(db, under_way), len(await looking.events(db, under_way))) == ("completed", 1)
    row, (event,) = await looking.execution(db, refused), await looking.events(db, refused)
    assert (row["status"], row["cost_micro_usd"], looking.data(event)["cost_micro_usd"]) == ("failed", 0, 0)
    assert await db.fetchval("SELECT count(*) FROM idempotency_keys WHERE NOT free") == 0


async def test_a_recorder_closes_in_bounded_time_when_the_network_is_silent(
    books_url: str, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "CONNECT_SECONDS", 0.3)
    through_relay = make_url(books_url).set(port=relay.port).render_as_string(hide_password=False)
    async with asyncio.timeout(3), PostgresRecorder(through_relay, LEASE_SECONDS, BackgroundTasks()) as recorder:
        recorded = intent()
        await recorder.record(recorded)
        await recorder.settle(completed(recorded))
        relay.silent = True
