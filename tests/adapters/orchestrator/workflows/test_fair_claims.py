"""Whose steps a worker claims: the real statement on the real PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from orchestrator.adapters.postgres.connection import SESSION
from orchestrator.adapters.workflows.claims import claim_sql
from orchestrator.adapters.workflows.steps import PostgresStepStore
from orchestrator.workflows.assignment import Assignment, Completed, Report
from orchestrator.workflows.engine.tokens import OwnerTokens
from orchestrator.workflows.model import RunState
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.engine import PACE, Agents, LocalLimiter, Runs, charges, step_store, task, worker
from tests.support.clock import SetClock
from tests.support.waiting import eventually

BUSY, OTHER, THIRD = 1, 2, 3
WIDE = replace(PACE, slots=64)


def users(assignments: Sequence[Assignment]) -> Counter[int]:
    return Counter(one.principal.user_id for one in assignments)


async def complete(store: PostgresStepStore, assignments: Sequence[Assignment]) -> None:
    await asyncio.gather(*(store.report(Report(one.lease_id, Completed("done"), take_successor=False)) for one in assignments))


async def test_a_step_is_claimed_next_despite_many_waiting_steps_of_another_user(runs: Runs, books_url: str) -> None:
    await runs.queue(90, BUSY)
    async with step_store(books_url, WIDE) as store:
        await store.claim(4)
        await runs.start(task("a"), user_id=OTHER)
        assert users((await store.claim(2)).assignments) == {BUSY: 1, OTHER: 1}


async def test_a_single_free_slot_rotates_between_users(runs: Runs, books_url: str) -> None:
    for user in (BUSY, OTHER, THIRD):
        await runs.queue(9, user)
    async with step_store(books_url, WIDE) as store:
        claimed = [one.principal.user_id for _ in range(9) for one in (await store.claim(1)).assignments]
    assert claimed == [BUSY, OTHER, THIRD] * 3


async def test_users_get_slots_in_proportion_to_their_weights(runs: Runs, books_url: str, db: Connection) -> None:
    ids = [await new_user(db, weight) for weight in (1, 3, 2)]
    for user in ids:
        await runs.queue(40, user)
    for limit in (1, 4, 6):
        async with step_store(books_url, replace(PACE, slots=1000)) as store:
            claimed: Counter[int] = Counter()
            for _ in range(24 // limit):
                batch = (await store.claim(limit)).assignments
                claimed += users(batch)
                await complete(store, batch)
        assert [claimed[user] for user in ids] == [4, 12, 8]


async def test_no_user_fills_more_than_seven_eighths_of_a_worker(runs: Runs, books_url: str) -> None:
    await runs.queue(20, BUSY)
    async with step_store(books_url, PACE) as store:
        first = await store.claim(8)
        assert (len(first.assignments), first.more, first.limited) == (7, False, True)
        await runs.start(task("a"), user_id=OTHER)
        assert users((await store.claim(1)).assignments) == {OTHER: 1}


async def test_steps_in_flight_are_counted_across_workers(runs: Runs, books_url: str) -> None:
    await runs.queue(20, BUSY)
    async with step_store(books_url, WIDE, in_flight=5) as one, step_store(books_url, WIDE, in_flight=5) as two:
        first, second = await one.claim(3), await two.claim(64)
        assert (len(first.assignments), len(second.assignments), second.limited) == (3, 2, True)
        assert not (await one.claim(64)).assignments
        await complete(one, first.assignments[:1])
        assert len((await two.claim(64)).assignments) == 1


async def test_users_at_their_limit_do_not_consume_the_turns_of_others(runs: Runs, books_url: str) -> None:
    for user in range(1, 6):
        await runs.queue(3, user)
    async with step_store(books_url, WIDE, in_flight=1) as store:
        assert len((await store.claim(5)).assignments) == 5
        await runs.start(task("a"), user_id=6)
        assert users((await store.claim(1)).assignments) == {6: 1}


async def test_a_user_without_tokens_is_skipped_until_there_are_some(runs: Runs, books_url: str) -> None:
    tokens = OwnerTokens(LocalLimiter(), charges(20), clock=SetClock())
    await runs.queue(40, BUSY)
    async with step_store(books_url, WIDE, tokens=tokens) as store:
        first = await store.claim(40)
        assert len(first.assignments) == 20
        assert first.refill_in_seconds == 3
        await runs.start(task("a"), user_id=OTHER)
        assert users((await store.claim(2)).assignments) == {OTHER: 1}
        assert (await runs.db.fetchval("SELECT count(*) FROM steps WHERE user_id = $1 AND status = 'ready'", BUSY)) == 20


async def test_steps_wait_for_tokens_and_then_run(runs: Runs, books_url: str) -> None:
    """61 steps of a user with a burst of 60 and one token a second: the last step waits for its token, and the run completes."""
    run = await runs.queue(61, BUSY)
    agents = Agents()
    tokens = OwnerTokens(LocalLimiter(), charges(60))
    async with worker(books_url, agents, WIDE, tokens=tokens):
        await runs.reaches(run, RunState.COMPLETED, within=30)
    assert len(agents.begun) == 62


async def test_a_worker_without_a_free_slot_leaves_successors_in_the_queue(runs: Runs, books_url: str) -> None:
    """A chain must not keep its slot to its end while another user waits for one."""
    agents = Agents()
    agents.hold("a")
    await runs.start(task("a"), task("b"), task("c"), user_id=BUSY)
    async with worker(books_url, agents, replace(PACE, slots=1)) as dispatcher:
        await agents.wait_until_begun("a")
        await runs.start(task("x"), user_id=OTHER)
        dispatcher.wake()
        await asyncio.sleep(0)
        agents.gates["a"].set()
        await eventually(lambda: len(agents.begun) == 4)
    assert agents.begun.index("x") == 1


async def test_the_claim_uses_the_index_even_if_it_was_planned_on_an_empty_table(books_url: str) -> None:
    """With a plan that scans `steps`, a claim takes seconds once 100,000 steps wait, until the next ANALYZE."""
    connection = await asyncpg.connect(books_url.replace("+asyncpg", ""), server_settings={**SESSION, **claim_sql.SESSION})
    try:
        await connection.execute("TRUNCATE workflows CASCADE; ANALYZE steps")
        await connection.execute(f"PREPARE claim (int, int, int, int, uuid, int[]) AS {claim_sql.CLAIM}")
        explained = await connection.fetch("EXPLAIN EXECUTE claim (64, 0, 50, 56, '00000000-0000-0000-0000-000000000000', '{}')")
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in explained)
    assert "ix_steps_ready_of_user" in plan
    assert "Seq Scan on steps" not in plan


async def new_user(db: Connection, weight: int) -> int:
    name = await db.fetchval("SELECT gen_random_uuid()::text")
    statement = "INSERT INTO users (username, password_hash, weight) VALUES ($1, 'none', $2) RETURNING id"
    made: int = await db.fetchval(statement, name, weight)
    return made
