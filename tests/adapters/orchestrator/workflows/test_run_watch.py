"""Watching runs: every change once and in order, from any starting point and across reconnects."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.wakeups.redis_notifier import RedisNotifier, Subscription
from orchestrator.adapters.workflows.notifier import RedisRunNotifier
from orchestrator.workflows.model import Change, Run, RunState
from orchestrator.workflows.ports import RunSubscriptions
from orchestrator.workflows.watch import Ended, Heartbeat, RunWatch
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.engine import workflow_of
from tests.adapters.orchestrator.workflows.following import (
    Runs,
    SilentNotifier,
    no_live_texts,
    results,
    running_stores,
    subject_and_state,
    watched,
)

SOON_SECONDS = 10


class NeverNotified:
    """A notifier that never wakes anyone, so that only polling finds changes."""

    @contextmanager
    def subscribe(self, run_id: UUID) -> Iterator[Subscription]:
        """A subscription that is never notified."""
        yield Subscription()


@asynccontextmanager
async def watching(runs: Runs, subscriptions: RunSubscriptions, heartbeat_seconds: float = SOON_SECONDS) -> AsyncIterator[RunWatch]:
    """A watch of this process."""
    watch = RunWatch(runs.store, subscriptions, no_live_texts(), BackgroundTasks(), heartbeat_seconds)
    looking = asyncio.create_task(watch.poll_forever())
    yield watch
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


@asynccontextmanager
async def notifier(redis_url: str) -> AsyncIterator[RedisRunNotifier]:
    """The notifier of one process."""
    async with Redis.from_url(redis_url) as redis, RedisNotifier(redis, BackgroundTasks()) as notifier:
        yield RedisRunNotifier(notifier)


@pytest.fixture
async def runs(books_url: str, db: Connection, engine: AsyncEngine, redis_url: str) -> AsyncIterator[Runs]:
    await db.execute("TRUNCATE workflows CASCADE")
    async with notifier(redis_url) as notified, running_stores(books_url, engine, notified) as stores:
        yield stores


@pytest.fixture
async def watch(runs: Runs, redis_url: str) -> AsyncIterator[RunWatch]:
    """The watch of another process."""
    async with notifier(redis_url) as notifications, watching(runs, notifications) as one:
        yield one


async def test_a_watch_delivers_every_change_from_start_to_end(runs: Runs, watch: RunWatch) -> None:
    run = await runs.start()
    watch_task = asyncio.create_task(watched(watch, run))
    await runs.finish()
    changes = await watch_task
    assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
    assert subject_and_state(changes[-1]) == ("run", "completed")
    assert len({subject_and_state(change) for change in changes}) == len(changes)
    assert {("d", "ready"), ("d", "running"), ("d", "completed")} <= {subject_and_state(change) for change in changes}
    assert results(changes) == {name: f"the answer of {name}" for name in "abcd"}
    assert (await runs.current(run)).sequence == len(changes)


async def test_a_watch_resumes_after_any_change(runs: Runs, watch: RunWatch) -> None:
    run = await runs.start()
    await runs.finish()
    ended = await runs.current(run)
    everything = await watched(watch, ended)
    for after in range(len(everything) + 1):
        assert await watched(watch, ended, after) == everything[after:]


async def test_the_last_change_of_a_run_is_its_end(runs: Runs, watch: RunWatch) -> None:
    run = await runs.start()
    await runs.work()
    await runs.store.cancel(run.user_id, workflow_of(run))
    ended = await runs.current(run)
    assert ended.state is RunState.CANCELLED
    changes = await watched(watch, ended)
    assert [isinstance(one.subject, Run) and one.subject.state.final for one in changes] == [*[False] * (len(changes) - 1), True]


async def test_200_watchers_that_reconnect_see_every_change_once(runs: Runs, redis_url: str) -> None:
    """In three processes, for ten runs."""
    started = [await runs.start() for _ in range(10)]
    door = asyncio.Semaphore(2)  # one connection for each, in addition to those that the watches read with

    async def as_it_stands(run: Run) -> Run:
        async with door:
            return await runs.current(run)

    async def watcher(watch: RunWatch, run: Run, chance: random.Random) -> list[Change]:
        seen: list[Change] = []
        while True:
            patience = chance.randint(1, 12)
            async for item in watch.changes(await as_it_stands(run), seen[-1].sequence if seen else 0):
                if isinstance(item, Ended):
                    return seen
                if isinstance(item, Heartbeat):  # on a busy machine the worker is slow
                    continue
                assert isinstance(item, Change)
                seen.append(item)
                patience -= 1
                if not patience:
                    break
            await asyncio.sleep(chance.random() / 50)

    async with AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(watching(runs, await stack.enter_async_context(notifier(redis_url)))) for _ in range(3)]
        watchers = [asyncio.create_task(watcher(watches[number % 3], started[number % 10], random.Random(number))) for number in range(200)]
        await runs.finish()
        seen = await asyncio.gather(*watchers)
        for number, changes in enumerate(seen):
            run = await runs.current(started[number % 10])
            assert [change.sequence for change in changes] == list(range(1, run.sequence + 1))
            assert all(change.run_id == run.run_id for change in changes)


async def test_without_notifications_changes_are_found_within_a_poll_interval(
    books_url: str, db: Connection, engine: AsyncEngine, runs: Runs
) -> None:
    async with (
        running_stores(books_url, engine, SilentNotifier()) as quiet_runs,
        watching(quiet_runs, NeverNotified(), heartbeat_seconds=3) as watch,
    ):
        run = await quiet_runs.start()
        watch_task = asyncio.create_task(watched(watch, run, after=run.sequence))
        await quiet_runs.finish()
        assert subject_and_state((await watch_task)[-1]) == ("run", "completed")


async def test_a_heartbeat_has_the_sequence_to_resume_after(runs: Runs, redis_url: str) -> None:
    run = await runs.start()
    async with notifier(redis_url) as notifications, watching(runs, notifications, heartbeat_seconds=0.1) as watch:
        items = watch.changes(run, run.sequence)
        assert [await anext(items), await anext(items)] == [Heartbeat(run.sequence)] * 2
        await items.aclose()  # type: ignore[attr-defined]  # an asynchronous generator is what it is


async def test_a_stopping_process_ends_its_watches(runs: Runs, watch: RunWatch) -> None:
    run = await runs.start()
    watch_task = asyncio.create_task(watched(watch, run))
    await asyncio.sleep(0)
    watch.stop()
    with pytest.raises(ServiceUnavailable, match="watch again"):
        await watch_task


async def test_a_cancelled_watch_leaves_no_subscription(runs: Runs, redis_url: str) -> None:
    run = await runs.start()
    async with (
        Redis.from_url(redis_url) as redis,
        RedisNotifier(redis, BackgroundTasks()) as notifications,
        watching(runs, RedisRunNotifier(notifications)) as watch,
    ):
        items = watch.changes(run, 0)
        first = await anext(items)
        assert isinstance(first, Change)
        assert notifications.topics() == [f"run:{run.run_id}"]
        await items.aclose()  # type: ignore[attr-defined]
        assert notifications.topics() == []


async def test_a_followed_run_whose_task_dies_is_reported(runs: Runs) -> None:
    """Its watchers would receive heartbeats forever."""
    tasks = BackgroundTasks()
    watch, run = RunWatch(runs.store, NeverNotified(), no_live_texts(), tasks), await runs.start()
    changes = watch.changes(run, 0)
    await anext(changes)
    [following] = [task for task in asyncio.all_tasks() if task.get_name() == "followed run"]
    following.cancel()
    await asyncio.wait_for(tasks.stopping.wait(), 5)
    assert tasks.failure is not None
    assert tasks.failure.name == "followed run"
