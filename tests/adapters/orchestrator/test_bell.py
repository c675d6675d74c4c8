"""The doorbell between processes, on the real Redis."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from orchestrator.adapters.wakeups.redis_notifier import CHANNEL, RedisBell

SECONDS = 10.0


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


async def subscribed(redis: Redis, bells: int) -> None:
    """Returns once so many bells hear Redis."""
    while dict(await redis.pubsub_numsub(CHANNEL)).get(CHANNEL.encode(), 0) < bells:
        pass


@pytest.mark.parametrize("hurry", [True, False])
async def test_a_ring_is_heard_here_at_once_and_in_other_processes_soon(redis: Redis, hurry: bool) -> None:
    async with RedisBell(redis) as here, RedisBell(redis) as there:
        await subscribed(redis, 2)
        with here.listen("topic") as near, there.listen("topic") as far, there.listen("other") as deaf:
            here.ring("topic", hurry=hurry)
            assert await near.wait(0)
            assert await far.wait(SECONDS)
            assert not await deaf.wait(0)


async def test_a_ring_in_a_hurry_takes_those_without_along(redis: Redis) -> None:
    async with RedisBell(redis) as here, RedisBell(redis) as there:
        await subscribed(redis, 2)
        with there.listen("events") as events, there.listen("steps") as steps:
            here.ring("events", hurry=False)
            here.ring("steps")
            assert await steps.wait(SECONDS)
            assert await events.wait(0)
