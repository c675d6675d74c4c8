"""Which sessions have ended, according to Redis, and to PostgreSQL whenever Redis may not know."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from deploy.local.servers.redis import RedisServer
from mesh.security.caller import Role
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.identity.revocations import SENTINEL, RedisRevocations, revocation_key
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.adapters.limits.redis_buckets import RedisLimits
from orchestrator.identity.model import Session
from tests.support.redis import running_redis
from tests.support.waiting import eventually

PATIENT = 0.5
"""The timeout of Redis in seconds, long because this machine is busier than a production one."""


class Process:
    """The list of one process, looked up in the round trip that counts a call."""

    def __init__(self, list_: RedisRevocations, limits: RedisLimits) -> None:
        self.add = list_.add
        self._list = list_
        self._limits = limits

    async def is_revoked(self, session_id: UUID) -> bool:
        verdict = await self._limits.take((), self._list.watched(session_id))
        return await self._list.is_revoked(session_id, verdict.present)


Begin = Callable[[], Awaitable[Process]]


class Ledger(PostgresIdentityStore):
    """The real ledger; it counts how often it is asked about a session, and can delay its answer to a request for the list."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine, 30)
        self.asked = 0
        self.lists = asyncio.Event()
        self.lists.set()
        self.listing = asyncio.Event()

    async def session_is_open(self, session_id: UUID) -> bool:
        self.asked += 1
        return await super().session_is_open(session_id)

    async def ended_sessions(self, within_seconds: float | None) -> list[tuple[UUID, datetime]]:
        found = list(await super().ended_sessions(within_seconds))
        self.listing.set()
        await self.lists.wait()
        return found


@pytest.fixture
def ledger(engine: AsyncEngine) -> Ledger:
    return Ledger(engine)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis of the test's own, which the test may stop."""
    async with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url()) as redis:
        yield redis


@pytest.fixture
async def begin(server: RedisServer, ledger: Ledger) -> AsyncIterator[Begin]:
    """Start the list of one process."""
    async with AsyncExitStack() as stack:

        async def start() -> Process:
            client = Redis.from_url(server.url())
            stack.push_async_callback(client.aclose)
            revocations = RedisRevocations(client, ledger)
            stack.callback(asyncio.create_task(revocations.follow()).cancel)
            return Process(revocations, await stack.enter_async_context(RedisLimits(server.url(), BackgroundTasks(), PATIENT)))

        yield start


async def new_session(ledger: Ledger, *, minutes: float = 60) -> tuple[UUID, datetime]:
    """A session, and the time until which its access tokens are valid."""
    session_id, until = uuid7(), datetime.now(UTC) + timedelta(minutes=minutes)
    async with ledger.begin() as work:
        user = await work.add_user(f"user.{session_id.hex}", "no hash", Role.USER)
        assert user is not None
        await work.open_session(session_id, user.user_id, until, "192.0.2.1")
    return session_id, until


def ended_at(session_id: UUID, until: datetime) -> Session:
    """The record that the store returns when a session ends."""
    return Session(session_id, 1, until, until, until, "192.0.2.1")


async def ended_session(ledger: Ledger, *, minutes: float = 60) -> tuple[UUID, datetime]:
    """An ended session that was not published."""
    session_id, until = await new_session(ledger, minutes=minutes)
    async with ledger.begin() as work:
        await work.end_session(session_id)
    return session_id, until


async def complete(redis: Redis) -> bool:
    return bool(await redis.exists(SENTINEL))


async def answer_of_redis(ledger: Ledger, revocations: Process, session_id: UUID) -> bool | None:
    """The answer without the ledger; None if the ledger had to be asked."""
    before = ledger.asked
    revoked = await revocations.is_revoked(session_id)
    return revoked if ledger.asked == before else None


async def trusted(ledger: Ledger, revocations: Process) -> None:
    """Returns once the list answers without the ledger."""
    someone, _ = await new_session(ledger)

    async def answers() -> bool:
        return await answer_of_redis(ledger, revocations, someone) is False

    await eventually(answers)


async def test_a_complete_list_answers_from_redis_alone(begin: Begin, ledger: Ledger, redis: Redis) -> None:
    ended, _ = await ended_session(ledger)
    revocations = await begin()
    await trusted(ledger, revocations)
    assert await complete(redis)
    assert await answer_of_redis(ledger, revocations, ended) is True


async def test_an_incomplete_list_answers_from_postgresql(begin: Begin, ledger: Ledger) -> None:
    ledger.lists.clear()
    revocations = await begin()
    (ended, _), (going, _) = await ended_session(ledger), await new_session(ledger)
    assert (await revocations.is_revoked(ended), await revocations.is_revoked(going)) == (True, False)
    assert ledger.asked == 2


async def test_a_session_that_never_existed_is_not_open(ledger: Ledger, begin: Begin) -> None:
    ledger.lists.clear()
    assert await (await begin()).is_revoked(uuid7())


async def test_a_flush_reopens_no_session_and_the_list_is_written_again(begin: Begin, ledger: Ledger, redis: Redis) -> None:
    ended, _ = await ended_session(ledger)
    revocations = await begin()
    await trusted(ledger, revocations)
    await redis.flushall()
    assert await revocations.is_revoked(ended)
    await trusted(ledger, revocations)
    assert await answer_of_redis(ledger, revocations, ended) is True


async def test_a_flush_while_the_list_is_written_restarts_the_writing(begin: Begin, ledger: Ledger, redis: Redis) -> None:
    """The sentinel must not mark a list as complete that has lost a part."""
    ended, _ = await ended_session(ledger)
    ledger.lists.clear()
    revocations = await begin()
    await ledger.listing.wait()
    await redis.flushall()
    ledger.listing.clear()
    ledger.lists.set()
    await ledger.listing.wait()
    await trusted(ledger, revocations)
    assert await answer_of_redis(ledger, revocations, ended) is True


async def test_a_session_that_ends_here_is_known_at_once_in_every_process(begin: Begin, ledger: Ledger) -> None:
    here, there = await begin(), await begin()
    for revocations in (here, there):
        await trusted(ledger, revocations)
    session_id, until = await ended_session(ledger)
    await here.add([ended_at(session_id, until)])
    assert [await answer_of_redis(ledger, one, session_id) for one in (here, there)] == [True, True]


async def test_sessions_that_a_killed_process_did_not_publish_are_published_by_the_others(begin: Begin, ledger: Ledger) -> None:
    revocations = await begin()
    await trusted(ledger, revocations)
    session_id, _ = await ended_session(ledger)

    async def known() -> bool:
        return await answer_of_redis(ledger, revocations, session_id) is True

    await eventually(known)


async def test_without_redis_postgresql_answers(begin: Begin, ledger: Ledger, server: RedisServer) -> None:
    """Also for sessions that ended meanwhile; when Redis returns with its old data, including the sentinel, no session is reopened."""
    revocations = await begin()
    await trusted(ledger, revocations)
    await server.process.stop()
    session_id, until = await ended_session(ledger)
    await revocations.add([ended_at(session_id, until)])
    assert await revocations.is_revoked(session_id)
    await server.process.start()
    assert await revocations.is_revoked(session_id)
    await trusted(ledger, revocations)
    assert await answer_of_redis(ledger, revocations, session_id) is True


async def test_a_redis_that_hangs_costs_one_timeout_and_changes_no_answer(begin: Begin, ledger: Ledger, redis: Redis) -> None:
    revocations = await begin()
    await trusted(ledger, revocations)
    (ended, _), (going, _) = await ended_session(ledger), await new_session(ledger)
    pause: Any = redis.execute_command
    await pause("CLIENT", "PAUSE", "1000", "ALL")
    async with asyncio.timeout(4):
        assert [await revocations.is_revoked(one) for one in (ended, going) * 3] == [True, False] * 3


async def test_a_key_expires_with_the_last_token(begin: Begin, ledger: Ledger, redis: Redis) -> None:
    session_id, until = await ended_session(ledger, minutes=10)
    revocations = await begin()
    await revocations.add([ended_at(session_id, until)])
    assert 10 * 60 - 30 < await redis.ttl(revocation_key(session_id)) < 10 * 60 + 120


async def test_an_ended_session_with_expired_tokens_is_not_listed(ledger: Ledger) -> None:
    session_id, _ = await ended_session(ledger, minutes=-1)
    assert session_id not in {one for one, _ in await ledger.ended_sessions(None)}


async def test_many_ended_sessions_are_published_together_and_a_lost_redis_delays_no_call(
    begin: Begin, ledger: Ledger, redis: Redis
) -> None:
    """A disabled user may have thousands of sessions; with one round trip each, a lost Redis would delay the call for minutes."""
    here, there = await begin(), await begin()
    await trusted(ledger, here)
    await trusted(ledger, there)
    ended = [ended_at(*await new_session(ledger)) for _ in range(20)]
    await here.add(ended)
    assert [await answer_of_redis(ledger, there, session.session_id) for session in ended] == [True] * 20
    await redis.shutdown(nosave=True)
    began = asyncio.get_running_loop().time()
    await here.add(ended * 50)
    assert asyncio.get_running_loop().time() - began < 2
