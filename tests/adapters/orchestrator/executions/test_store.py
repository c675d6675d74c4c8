import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.executions.store import PostgresExecutionStore
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.executions.books import new_id
from orchestrator.executions.model import ExecutionQuery, Failure, Intent, State
from tests.adapters.orchestrator import looking
from tests.adapters.orchestrator.looking import Connection
from tests.support.ports import any_free_port
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import BILL, completed, ended, failed, intent

OTHER_AGENT = "marketing_copywriter_agent_1_11"


@pytest.fixture
def store(engine: AsyncEngine) -> PostgresExecutionStore:
    return PostgresExecutionStore(engine)


async def bought(recorder: PostgresRecorder, *intents: Intent) -> Sequence[UUID]:
    """Record and complete these intents; returns their ids, newest first."""
    await asyncio.gather(*map(recorder.record, intents))
    await asyncio.gather(*(recorder.settle(completed(one)) for one in intents))
    return [one.execution_id for one in reversed(intents)]


async def pages(store: PostgresExecutionStore, query: ExecutionQuery) -> list[list[UUID]]:
    """Every page from the first to the last."""
    found: list[list[UUID]] = []
    while True:
        page = await store.list(query)
        found.append([one.execution_id for one in page.executions])
        if not page.more:
            return found
        query = replace(query, before=page.next_before)


async def test_an_execution_is_read_as_it_was_settled(recorder: PostgresRecorder, store: PostgresExecutionStore) -> None:
    recorded = intent(streamed=True)
    await bought(recorder, recorded)
    read = await store.get(7, recorded.execution_id)
    assert read is not None
    assert (read.state, read.result, read.metadata, read.bill, read.seconds, read.streamed) == (
        *(State.COMPLETED, "Write better.", {"provider": "simulator"}, BILL, 1.5, True),
    )
    assert (read.input, read.context, read.agent_name, read.agent_revision, read.request_id, read.failure) == (
        *(recorded.input, recorded.context, recorded.agent_name, recorded.agent_revision, "req_1", None),
    )
    assert read.finished_at is not None
    assert read.finished_at >= read.created_at


async def test_a_running_execution_has_no_bill(recorder: PostgresRecorder, store: PostgresExecutionStore) -> None:
    recorded = intent(context=None)
    await recorder.record(recorded)
    read = await store.get(7, recorded.execution_id)
    assert read is not None
    assert (read.state, read.bill, read.finished_at, read.context) == (State.RUNNING, None, None, None)


async def test_an_execution_that_bought_nothing_has_a_failure_and_no_bill(
    recorder: PostgresRecorder, store: PostgresExecutionStore
) -> None:
    recorded = intent()
    await recorder.record(recorded)
    await recorder.settle(failed(recorded, retryable=True))
    read = await store.get(7, recorded.execution_id)
    assert read is not None
    assert (read.state, read.bill) == (State.FAILED, None)
    assert read.failure == Failure("LLM_API_ERROR", "overloaded", {"provider_status": "529"}, retryable=True)


async def test_another_users_execution_is_not_found(recorder: PostgresRecorder, store: PostgresExecutionStore) -> None:
    theirs = intent(user_id=8)
    await bought(recorder, theirs)
    assert await store.get(7, theirs.execution_id) is None
    assert await store.get(7, new_id()) is None
    assert (await store.list(ExecutionQuery(7, 50))).executions == []
    assert (await store.list(ExecutionQuery(7, 50, agent_id=theirs.agent_id, state=State.COMPLETED))).executions == []
    assert await store.get(8, theirs.execution_id) is not None


async def test_a_list_is_newest_first_and_says_whether_there_are_more(recorder: PostgresRecorder, store: PostgresExecutionStore) -> None:
    ids = await bought(recorder, *(intent() for _ in range(5)))
    assert await pages(store, ExecutionQuery(7, 2)) == [list(ids[0:2]), list(ids[2:4]), list(ids[4:])]
    assert await pages(store, ExecutionQuery(7, 5)) == [list(ids)]
    assert await pages(store, ExecutionQuery(8, 5)) == [[]]


async def test_lists_omit_texts(recorder: PostgresRecorder, store: PostgresExecutionStore) -> None:
    await bought(recorder, intent())
    (listed,) = (await store.list(ExecutionQuery(7, 50))).executions
    assert (listed.input, listed.context, listed.result, listed.metadata) == ("", None, "", {})
    assert (listed.state, listed.bill, listed.request_id) == (State.COMPLETED, BILL, "req_1")


async def test_a_list_can_be_filtered_by_agent_and_state(recorder: PostgresRecorder, store: PostgresExecutionStore) -> None:
    mine, other, cancelled = intent(), intent(agent_id=OTHER_AGENT), intent(agent_id=OTHER_AGENT)
    await bought(recorder, mine, other)
    await recorder.record(cancelled)
    await recorder.settle(ended(cancelled, State.CANCELLED))

    async def listed(agent_id: str = "", state: State | None = None) -> list[UUID]:
        return (await pages(store, ExecutionQuery(7, 50, agent_id=agent_id, state=state)))[0]

    assert await listed(OTHER_AGENT) == [cancelled.execution_id, other.execution_id]
    assert await listed(state=State.COMPLETED) == [other.execution_id, mine.execution_id]
    assert await listed(OTHER_AGENT, State.CANCELLED) == [cancelled.execution_id]
    assert await listed(mine.agent_id, State.CANCELLED) == []


async def test_pages_lose_and_repeat_nothing_while_executions_are_added(recorder: PostgresRecorder, store: PostgresExecutionStore) -> None:
    before = await bought(recorder, *(intent() for _ in range(60)))
    seen: list[UUID] = []
    query = ExecutionQuery(7, 7)
    while True:
        page = await store.list(query)
        seen += [one.execution_id for one in page.executions]
        if not page.more:
            break
        await bought(recorder, *(intent() for _ in range(5)))
        query = replace(query, before=page.executions[-1].execution_id)
    assert seen == list(before)


async def test_filtered_pages_have_no_gaps_and_no_repeats(recorder: PostgresRecorder, store: PostgresExecutionStore) -> None:
    await bought(recorder, *(intent(agent_id=OTHER_AGENT if number % 3 else intent().agent_id) for number in range(30)))
    found = await pages(store, ExecutionQuery(7, 3, agent_id=OTHER_AGENT, state=State.COMPLETED))
    assert [len(page) for page in found] == [3] * 6 + [2]
    assert len({execution_id for page in found for execution_id in page}) == 20


async def test_the_executions_behind_a_figure_are_found(recorder: PostgresRecorder, store: PostgresExecutionStore, db: Connection) -> None:
    """By key, model, reason, user and the time at which they ended, as analytics counts them."""
    key = new_id()
    mine, keyed, refused, stopped, running = intent(), intent(api_key_id=key), intent(), intent(), intent()
    theirs = intent(user_id=8, api_key_id=key)
    await bought(recorder, mine, keyed, theirs)
    for one, settlement in ((refused, failed(refused, retryable=True)), (stopped, ended(stopped, State.CANCELLED))):
        await recorder.record(one)
        await recorder.settle(settlement)
    await recorder.record(running)
    await db.execute("UPDATE executions SET model = 'claude-opus-5' WHERE execution_id = $1", keyed.execution_id)
    await db.execute("UPDATE executions SET finished_at = created_at + interval '10 minutes' WHERE execution_id = $1", mine.execution_id)
    now = await db.fetchval("SELECT created_at FROM executions WHERE execution_id = $1", running.execution_id)

    async def listed(sees: int | None = 7, **filters: Any) -> set[UUID]:
        (found,) = await pages(store, ExecutionQuery(sees, 50, **filters))
        return set(found)

    assert await listed(api_key_id=key) == {keyed.execution_id}
    assert await listed(None, api_key_id=key) == {keyed.execution_id, theirs.execution_id}
    assert await listed(None, user_id=8) == {theirs.execution_id}
    assert await listed(7, user_id=8) == set()
    assert await listed(model="claude-opus-5") == {keyed.execution_id}
    assert await listed(reason="LLM_API_ERROR") == {refused.execution_id}
    assert await listed(reason="CANCELLED") == {stopped.execution_id}
    assert await listed(reason="RUNNING") == await listed(reason="COMPLETED") == set()
    late, soon = now + timedelta(minutes=9), now + timedelta(minutes=11)
    assert await listed(begins=late, ends=soon) == {mine.execution_id}
    assert await listed(begins=soon) == set()
    assert await listed(ends=late) == {keyed.execution_id, refused.execution_id, stopped.execution_id}
    (shown,) = (await store.list(ExecutionQuery(8, 1))).executions
    assert (shown.user_id, shown.api_key_id, shown.step) == (8, key, None)


async def test_a_page_looks_at_a_bounded_number_of_executions(
    recorder: PostgresRecorder, store: PostgresExecutionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rare value could otherwise make one request read everything. The pages continue where the one before has stopped."""
    monkeypatch.setattr("orchestrator.adapters.executions.store.SCANNED", 4)
    wanted = [intent(agent_id=OTHER_AGENT), intent()]
    await bought(recorder, wanted[0], *(intent() for _ in range(9)), wanted[1])
    await recorder.record(rare := intent())
    assert await pages(store, ExecutionQuery(7, 5, state=State.RUNNING)) == [[rare.execution_id], [], [], []]
    found = await pages(store, ExecutionQuery(7, 2, state=State.COMPLETED))
    assert len(found[0]) == 2
    assert len({one for page in found for one in page}) == sum(map(len, found)) == 11


@pytest.mark.parametrize(
    ("condition", "index"), [("api_key_id = $1", "ix_executions_key"), ("api_key_id = $1 AND execution_id < $1", "ix_executions_key")]
)
async def test_the_list_of_a_key_is_read_from_an_index_in_order(db: Connection, condition: str, index: str) -> None:
    async with db.transaction():
        await db.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        query = f"EXPLAIN SELECT * FROM executions WHERE {condition} ORDER BY execution_id DESC LIMIT 51"
        plan = "\n".join(row[0] for row in await db.fetch(query, new_id()))
    assert f"Index Scan using {index}" in plan
    assert "Sort" not in plan


@pytest.mark.parametrize("condition", ["user_id = 7", f"user_id = 7 AND agent_id = '{OTHER_AGENT}'", "user_id = 7 AND execution_id < $1"])
async def test_a_users_list_is_read_from_an_index_in_order(db: Connection, condition: str) -> None:
    async with db.transaction():
        await db.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        query = f"EXPLAIN SELECT * FROM executions WHERE {condition} ORDER BY execution_id DESC LIMIT 51"
        plan = "\n".join(row[0] for row in await db.fetch(query, *([new_id()] if "$1" in condition else [])))
    assert "Index Scan using ix_executions_user" in plan
    assert "Sort" not in plan


async def test_stale_connections_to_a_restarted_server_cause_no_error(engine: AsyncEngine, db: Connection) -> None:
    store = PostgresExecutionStore(engine)
    await asyncio.gather(*(store.get(7, new_id()) for _ in range(5)))
    assert await looking.cut_connections(db) > 0
    assert await store.get(7, new_id()) is None


WAITING = "datname = current_database() AND wait_event_type = 'Lock'"


async def test_a_read_that_loses_its_connection_reports_the_database_as_unavailable(
    engine: AsyncEngine, db: Connection, other: Connection
) -> None:
    lock = other.transaction()
    await lock.start()
    await other.execute("LOCK TABLE executions IN ACCESS EXCLUSIVE MODE")
    reading = asyncio.create_task(PostgresExecutionStore(engine).get(7, new_id()))

    async def blocked() -> bool:
        return bool(await db.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {WAITING}"))

    await eventually(blocked)
    # Only the reader's connection: if the lock's went first, the reader could finish before its own ends.
    await db.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {WAITING}")
    with pytest.raises(ServiceUnavailable):
        await reading
    await lock.rollback()


async def test_a_missing_database_is_unavailable_at_once(books_url: str) -> None:
    engine = create_engine(make_url(books_url).set(port=any_free_port()).render_as_string(hide_password=False), 1, 0)
    store = PostgresExecutionStore(engine)
    async with asyncio.timeout(1):
        with pytest.raises(ServiceUnavailable):
            await store.get(7, new_id())
        with pytest.raises(ServiceUnavailable):
            await store.list(ExecutionQuery(7, 50))


async def test_a_pool_without_a_free_connection_is_unavailable_after_a_timeout(books_url: str) -> None:
    engine = create_engine(books_url, 1, 0)
    async with engine.connect(), asyncio.timeout(5):
        with pytest.raises(ServiceUnavailable):
            await PostgresExecutionStore(engine).get(7, new_id())
    await engine.dispose()


async def test_an_error_of_the_query_itself_is_not_reported_as_unavailable(engine: AsyncEngine, db: Connection) -> None:
    await db.execute("ALTER TABLE executions RENAME COLUMN result TO hidden")
    try:
        with pytest.raises(Exception, match="does not exist") as raised:
            await PostgresExecutionStore(engine).get(7, new_id())
        assert not isinstance(raised.value, ServiceUnavailable | asyncpg.InterfaceError)
    finally:
        await db.execute("ALTER TABLE executions RENAME COLUMN hidden TO result")
