"""One account's denials do not push the entries of others out of the audit log."""

from contextlib import AsyncExitStack

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.security.caller import Caller, Role
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.policy import denial_log
from orchestrator.adapters.policy.denial_log import PostgresDenialLog
from tests.adapters.orchestrator.looking import Connection


@pytest.fixture
async def clean(db: Connection) -> None:
    await db.execute("TRUNCATE audit_log")


def person(user_id: int) -> Caller:
    return Caller(user_id, f"flood{user_id}", Role.USER)


@pytest.mark.parametrize("attackers", [1, 5, 20])
async def test_an_entry_is_recorded_however_many_others_have(clean: None, engine: AsyncEngine, db: Connection, attackers: int) -> None:
    """Those that are left out are counted by user."""
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(PostgresDenialLog(engine, BackgroundTasks()))
        for user_id in range(1001, 1001 + attackers):
            for number in range(3_000):
                log.denied(person(user_id), f"call {number}", "rule")
        log.denied(person(1000), "call of the honest user", "rule")
        log.administered(person(1000), "delete workflow:1", 7)
    subjects = [row["subject"] for row in await db.fetch("SELECT subject FROM audit_log WHERE actor_id = 1000 ORDER BY id")]
    assert subjects == ["call of the honest user", "delete workflow:1"]
    written = await db.fetchval("SELECT count(*) FROM audit_log WHERE actor_id <> 1000 AND NOT details ? 'omitted'")
    omitted = await db.fetchval("SELECT sum((details ->> 'omitted')::int) FROM audit_log WHERE actor_id <> 1000")
    assert written + omitted == attackers * 3_000
    assert written <= denial_log.MOST + attackers * denial_log.RESERVED_OF_USER


async def test_the_next_entries_are_recorded_again(clean: None, engine: AsyncEngine, db: Connection) -> None:
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(PostgresDenialLog(engine, BackgroundTasks()))
        for _ in range(2):
            for number in range(denial_log.MOST_OF_USER + 10):
                log.denied(person(1001), f"call {number}", "rule")
            await log._write()
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE NOT details ? 'omitted'") == 2 * denial_log.MOST_OF_USER
    assert [row["n"] for row in await db.fetch("SELECT details ->> 'omitted' n FROM audit_log WHERE details ? 'omitted'")] == ["10", "10"]
