"""Token buckets in the real Redis, also while it is flushed, stopped, hung or killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from deploy.local.servers.redis import RedisServer
from mesh.limits.limiter import Charge, Verdict
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.limits import redis_buckets as redis_limits
from orchestrator.adapters.limits.redis_buckets import RedisLimits
from tests.support.clock import SetClock
from tests.support.redis import running_redis
from tests.support.waiting import eventually

PATIENT = 5.0
"""The timeout of Redis in seconds, for tests that do not measure its speed."""


def bucket(per_minute: int, name: str = "user") -> Charge:
    return Charge("calls", f"limit:{name}", per_minute)


async def granted(limits: RedisLimits, charge: Charge, tries: int) -> int:
    """How many of this many simultaneous calls are allowed."""
    verdicts = await asyncio.gather(*(limits.take([charge]) for _ in range(tries)))
    return sum(verdict.refused_by is None for verdict in verdicts)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis of the test's own."""
    async with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
async def limits(server: RedisServer) -> AsyncIterator[RedisLimits]:
    async with RedisLimits(server.url(), BackgroundTasks(), PATIENT) as limits:
        yield limits


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url(), decode_responses=True) as client:
        yield client


async def test_a_bucket_holds_one_minutes_tokens_and_reports_when_the_next_is_due(limits: RedisLimits) -> None:
    charge = bucket(6)
    assert await granted(limits, charge, 20) == 6
    verdict = await limits.take([charge])
    assert verdict.refused_by == charge
    assert 8 < verdict.wait_seconds <= 10


@pytest.mark.parametrize("per_minute", [1, 7, 600, 10**6, 10**9])
async def test_a_bucket_may_be_tiny_or_practically_unlimited(limits: RedisLimits, per_minute: int) -> None:
    assert (await limits.take([bucket(per_minute)])) == Verdict(present=())


async def test_tokens_return_one_by_one(limits: RedisLimits) -> None:
    charge = bucket(1200)
    assert await granted(limits, charge, 1300) < 1300

    async def again() -> bool:
        return (await limits.take([charge])).refused_by is None

    await eventually(again)


async def test_processes_share_the_buckets(server: RedisServer, limits: RedisLimits) -> None:
    async with RedisLimits(server.url(), BackgroundTasks(), PATIENT) as other:
        both = await asyncio.gather(granted(limits, bucket(10), 8), granted(other, bucket(10), 8))
        assert sum(both) == 10
        verdict = await other.take([bucket(10)])
    assert verdict.refused_by is not None
    assert 4 < verdict.wait_seconds <= 6


async def test_a_call_takes_from_all_its_buckets_or_from_none(limits: RedisLimits) -> None:
    wide, narrow = bucket(10, "wide"), bucket(1, "narrow")
    assert (await limits.take([wide, narrow])) == Verdict(present=())
    assert (await limits.take([wide, narrow])).refused_by == narrow
    assert await granted(limits, wide, 20) == 9


async def test_a_full_bucket_leaves_no_key_behind(limits: RedisLimits, client: Redis) -> None:
    await limits.take([bucket(10)])
    assert 0 < await client.pttl("limit:user") <= 6_000


async def test_the_same_round_trip_reports_which_keys_exist(limits: RedisLimits, client: Redis) -> None:
    await client.set("sentinel", "1")
    verdicts = await asyncio.gather(
        *(limits.take([bucket(10)], watch=["revoked:1", "sentinel"]), limits.take([], watch=["sentinel"]), limits.take([bucket(10)]))
    )
    assert [verdict.present for verdict in verdicts] == [(False, True), (True,), ()]


async def test_a_call_whose_first_watched_key_exists_takes_nothing(limits: RedisLimits, client: Redis) -> None:
    await client.set("revoked:1", "1")
    verdict = await limits.take([bucket(10)], watch=["revoked:1", "sentinel"])
    assert verdict == Verdict(present=(True, False))
    assert await client.exists("limit:user") == 0


async def test_a_clock_that_was_set_back_blocks_no_caller_for_long(limits: RedisLimits, client: Redis) -> None:
    seconds, _ = await client.time()
    await client.set("limit:user", str((seconds + 86_400) * 1_000_000))
    verdict = await limits.take([bucket(10)])
    assert verdict.refused_by is not None
    assert verdict.wait_seconds <= 6


async def test_a_flush_gives_no_caller_of_this_process_new_tokens(limits: RedisLimits, client: Redis) -> None:
    assert await granted(limits, bucket(10), 8) == 8
    await client.flushall()
    await client.script_flush()
    assert await granted(limits, bucket(10), 8) == 2


async def test_without_redis_the_process_continues_its_own_count(server: RedisServer, limits: RedisLimits) -> None:
    assert await granted(limits, bucket(10), 8) == 8
    await server.stop()
    async with asyncio.timeout(2):
        assert await granted(limits, bucket(10), 8) == 2
        assert (await limits.take([], watch=["revoked:1"])).present is None


async def test_redis_counts_again_after_its_return(server: RedisServer, limits: RedisLimits, client: Redis) -> None:
    server.process.kill()
    await server.process.crashes.get()
    while (await limits.take([bucket(1_000)])).present is not None:
        pass
    await server.start()

    async def counted() -> bool:
        return (await limits.take([bucket(1_000)], watch=["x"])).present == (False,)

    await eventually(counted)
    assert await client.exists("limit:user") == 1


async def test_a_redis_that_hangs_is_skipped_after_three_timeouts(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_limits, "REST_SECONDS", 60.0)
    async with RedisLimits(server.url(), BackgroundTasks(), seconds=0.2) as limits:
        assert (await limits.take([bucket(60)])).present == ()
        process = psutil.Process(server.process.pid)
        process.send_signal(signal.SIGSTOP)
        waited = []
        for _ in range(20):
            began = asyncio.get_running_loop().time()
            assert (await limits.take([bucket(60)])).present is None
            waited.append(asyncio.get_running_loop().time() - began >= 0.2)
        process.send_signal(signal.SIGCONT)
    assert waited == [True] * 3 + [False] * 17


async def test_many_calls_share_few_round_trips(limits: RedisLimits, client: Redis) -> None:
    before = (await client.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"]
    assert await granted(limits, bucket(10_000), 500) == 500
    assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] - before <= 10


async def test_a_busy_caller_needs_few_round_trips(limits: RedisLimits, client: Redis) -> None:
    before = (await client.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"]
    for _ in range(70):
        assert await limits.take([bucket(600), bucket(600, "key")]) == Verdict(present=())
    assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] - before == 10


async def test_a_process_takes_a_hundredth_of_a_bucket_ahead(server: RedisServer, limits: RedisLimits) -> None:
    async with RedisLimits(server.url(), BackgroundTasks(), PATIENT) as other:
        for _ in range(4):
            assert await granted(other, bucket(600), 1) == 1
        here = await granted(limits, bucket(600), 700)
        there = await granted(other, bucket(600), 700)
    assert 600 - 6 <= here + there + 4 <= 600 + 6
    assert there >= 3


async def test_a_small_bucket_is_shared_exactly(server: RedisServer, limits: RedisLimits) -> None:
    async with RedisLimits(server.url(), BackgroundTasks(), PATIENT) as other:
        assert await granted(other, bucket(99), 1) == 1
        assert await granted(limits, bucket(99), 120) == 98


async def test_tokens_taken_ahead_are_not_kept_for_long(server: RedisServer) -> None:
    clock = SetClock()
    async with RedisLimits(server.url(), BackgroundTasks(), PATIENT, clock) as limits:
        await limits.take([bucket(600)])
        await server.stop()
        assert (await limits.take([bucket(600)])).present == ()
        clock.advance(10)
        assert (await limits.take([bucket(600)])).present is None


async def test_a_call_that_watches_a_key_is_never_answered_from_the_reserve(limits: RedisLimits, client: Redis) -> None:
    await limits.take([bucket(600)])
    await client.set("revoked:1", "1")
    assert (await limits.take([bucket(600)], watch=["revoked:1"])).present == (True,)


async def test_a_caller_whose_calls_watch_a_key_loses_no_tokens(limits: RedisLimits) -> None:
    for _ in range(300):
        assert (await limits.take([bucket(600)], watch=["revoked:1"])).refused_by is None
    assert await granted(limits, bucket(600), 400) >= 300 - 6
