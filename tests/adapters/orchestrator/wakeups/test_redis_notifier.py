"""Wakeups between processes through the real Redis."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.wakeups.redis_notifier import CHANNEL, RedisNotifier

SECONDS = 10.0


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


async def subscribed(redis: Redis, notifiers: int) -> None:
    """Returns once this many notifiers are subscribed in Redis."""
    while dict(await redis.pubsub_numsub(CHANNEL)).get(CHANNEL.encode(), 0) < notifiers:
        pass


@pytest.mark.parametrize("immediate", [True, False])
async def test_a_notification_wakes_this_process_at_once_and_others_soon(redis: Redis, immediate: bool) -> None:
    async with RedisNotifier(redis, BackgroundTasks()) as here, RedisNotifier(redis, BackgroundTasks()) as there:
        await subscribed(redis, 2)
        with there.subscribe("connected") as connected:  # a notifier that has just connected wakes every subscription
            here.notify("connected")
            assert await connected.wait(SECONDS)
        with here.subscribe("topic") as near, there.subscribe("topic") as far, there.subscribe("other") as deaf:
            here.notify("topic", immediate=immediate)
            assert await near.wait(0)
            assert await far.wait(SECONDS)
            assert not await deaf.wait(0)


async def test_an_urgent_notification_sends_the_delayed_ones_with_it(redis: Redis) -> None:
    async with RedisNotifier(redis, BackgroundTasks()) as here, RedisNotifier(redis, BackgroundTasks()) as there:
        await subscribed(redis, 2)
        with there.subscribe("events") as events, there.subscribe("steps") as steps:
            here.notify("events", immediate=False)
            here.notify("steps")
            assert await steps.wait(SECONDS)
            assert await events.wait(0)
