"""Watching the log: many watchers receive every event once and in order, from any starting position."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
from redis.asyncio import Redis
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.events.store import PostgresEventStore
from orchestrator.events import tail as tail_module
from orchestrator.events.model import Event, EventFilter, Heartbeat
from orchestrator.events.service import EventService
from orchestrator.events.tail import EventTail
from tests.adapters.orchestrator.events.event_log import Notifiers, emit, none_waits, notifiers, relaying
from tests.adapters.orchestrator.looking import Connection
from tests.support.waiting import eventually

USERS = 4
WATCHERS = 200


@contextlib.asynccontextmanager
async def serving(engine: AsyncEngine, own: Notifiers, heartbeat_seconds: float = 15) -> AsyncIterator[EventService]:
    """EventService, built as in a process."""
    store = PostgresEventStore(engine)
    tail = EventTail(store, own.events)
    following = asyncio.create_task(tail.run())
    try:
        yield EventService(store, tail, heartbeat_seconds)
    finally:
        following.cancel()
        await asyncio.wait([following])


async def watch_for(service: EventService, seen: list[tuple[int, str]], wanted: EventFilter, most: int, position: int) -> int:
    """Read this many events, then leave; returns the position reached."""
    async with contextlib.aclosing(service.watch(wanted, position)) as coming:
        async for item in coming:
            position = item.position
            if not isinstance(item, Heartbeat):
                seen.append((item.position, str(item.event_id)))
                most -= 1
            if most <= 0:
                break
    return position


async def test_watchers_that_reconnect_receive_each_of_their_events_once(
    books_url: str, redis_url: str, db: Connection, engine: AsyncEngine
) -> None:
    """Two hundred watchers leave at random and resume after the last position that they received."""
    total = 600
    async with relaying(books_url, redis_url), notifiers(redis_url) as own, serving(engine, own) as service:

        async def watcher(number: int) -> list[tuple[int, str]]:
            seen: list[tuple[int, str]] = []
            wanted, position = EventFilter(number % USERS), 0
            while len(seen) < total // USERS:
                position = await watch_for(service, seen, wanted, min(random.randint(1, 60), total // USERS - len(seen)), position)
                await asyncio.sleep(random.random() * 0.05)
            return seen

        watching = [asyncio.create_task(watcher(number)) for number in range(WATCHERS)]
        for turn in range(total // 10):
            await emit(db, *["a", "b"] * 5, user_id=turn % USERS)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            results = await asyncio.gather(*watching)
    for user in range(USERS):
        rows = await db.fetch("SELECT position, event_id FROM outbox WHERE user_id = $1 ORDER BY position", user)
        expected = [(row["position"], str(row["event_id"])) for row in rows]
        assert all(seen == expected for seen in results[user::USERS])


async def test_many_watchers_share_one_read_and_need_none_without_events(
    books_url: str, redis_url: str, db: Connection, engine: AsyncEngine
) -> None:
    queries = 0

    def count(*_: object) -> None:
        nonlocal queries
        queries += 1

    async with relaying(books_url, redis_url), notifiers(redis_url) as own, serving(engine, own) as service:
        seen: list[list[tuple[int, str]]] = [[] for _ in range(50)]
        reading = [asyncio.create_task(watch_for(service, mine, EventFilter(None), 2, 0)) for mine in seen]
        await emit(db, "a")

        async def all_have(length: int) -> bool:
            return all(len(mine) == length for mine in seen)

        await eventually(partial(all_have, 1))
        sqlalchemy_event.listen(engine.sync_engine, "before_cursor_execute", count)
        await emit(db, "a")
        await asyncio.gather(*reading)
        sqlalchemy_event.remove(engine.sync_engine, "before_cursor_execute", count)
    assert queries < 10


class Looks:
    """How often the watchers of each filter have looked at the tail, and how often it did not reach back far enough for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all: Counter[EventFilter] = Counter()
        self.missed: Counter[EventFilter] = Counter()
        look = EventTail.since

        def counted(tail: EventTail, position: int, wanted: EventFilter) -> tuple[Sequence[Event], int] | None:
            found = look(tail, position, wanted)
            self.all[wanted] += 1
            self.missed[wanted] += found is None
            return found

        monkeypatch.setattr(EventTail, "since", counted)


@pytest.mark.parametrize("unconcerned", [EventFilter(1), EventFilter(2, "agent.failed"), EventFilter(2, aggregate_id="b")], ids=str)
async def test_an_event_wakes_only_those_who_see_it(
    books_url: str, redis_url: str, db: Connection, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, unconcerned: EventFilter
) -> None:
    looks, events, concerned = Looks(monkeypatch), 20, EventFilter(2, "agent.executed", "a")
    async with relaying(books_url, redis_url), notifiers(redis_url) as own, serving(engine, own) as service:
        asleep = [asyncio.create_task(watch_for(service, [], unconcerned, 1, 0)) for _ in range(WATCHERS)]
        async with contextlib.aclosing(service.watch(concerned, 0)) as watch:
            await emit(db, "a", user_id=2)
            assert (await anext(watch)).position == 1
            before = looks.all[unconcerned]
            for _ in range(events):
                await emit(db, "a", user_id=2)
                await anext(watch)
        woken = looks.all[unconcerned] - before
        for task in asleep:
            task.cancel()
        await asyncio.wait(asleep)
    assert looks.all[concerned] >= events
    assert woken < 2 * WATCHERS  # some began only after `before`; if an event woke them all, they would look 20 times each


async def test_a_watcher_who_was_not_woken_for_long_still_reads_from_memory(
    books_url: str, redis_url: str, db: Connection, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "KEPT_EVENTS", 50)
    looks = Looks(monkeypatch)
    async with (
        relaying(books_url, redis_url),
        notifiers(redis_url) as own,
        serving(engine, own) as service,
        contextlib.aclosing(service.watch(EventFilter(2), 0)) as watch,
    ):
        await emit(db, "a", user_id=2)
        assert (await anext(watch)).position == 1
        coming = asyncio.ensure_future(anext(watch))
        await eventually(lambda: looks.all[EventFilter(2)] > looks.missed[EventFilter(2)])
        missed = looks.missed[EventFilter(2)]
        await emit(db, *["a"] * 200, user_id=1)
        await eventually(partial(none_waits, db))
        await emit(db, "a", user_id=2)
        assert (await coming).position == 202
        assert looks.missed[EventFilter(2)] == missed


async def test_without_redis_a_watcher_receives_events_within_a_poll_interval(books_url: str, db: Connection, engine: AsyncEngine) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    async with relaying(books_url, nowhere), notifiers(nowhere) as own, serving(engine, own) as service:
        seen: list[tuple[int, str]] = []
        reading = asyncio.create_task(watch_for(service, seen, EventFilter(None), 3, 0))
        for _ in range(3):
            await emit(db, "a")
        async with asyncio.timeout(3 * tail_module.POLL_SECONDS + 2):
            await reading


async def test_a_watcher_that_falls_far_behind_continues_from_the_database(
    books_url: str, redis_url: str, db: Connection, engine: AsyncEngine
) -> None:
    async with relaying(books_url, redis_url), notifiers(redis_url) as own, serving(engine, own) as service:
        async with contextlib.aclosing(service.watch(EventFilter(None), 0)) as slow:
            await emit(db, "a")
            assert (await anext(slow)).position == 1
            for _ in range(5):
                await emit(db, *["a"] * 1000)  # more than the tail keeps
            await eventually(partial(none_waits, db))
            positions = [(await anext(slow)).position for _ in range(5000)]
        assert positions == list(range(2, 5002))


async def test_a_heartbeat_has_a_position_that_skips_no_event(books_url: str, redis_url: str, db: Connection, engine: AsyncEngine) -> None:
    async with (
        relaying(books_url, redis_url),
        notifiers(redis_url) as own,
        serving(engine, own, heartbeat_seconds=0.3) as service,
        contextlib.aclosing(service.watch(EventFilter(8), 0)) as watch,
    ):
        await emit(db, *["others"] * 3, user_id=7)
        await eventually(partial(none_waits, db))

        async def received() -> bool:
            return await anext(watch) == Heartbeat(3)

        await eventually(received)


async def test_a_notifier_wakes_other_processes_also_after_redis_was_down(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis, notifiers(redis_url) as here, notifiers(redis_url) as there:
        with here.events.subscribe() as subscription, here.outbox.subscribe() as idle:

            async def wakes_others() -> bool:
                there.events.notify()
                return bool(await subscription.wait(0.2))

            await eventually(wakes_others)
            while await idle.wait(0.05):  # a notifier that has just connected wakes every subscription
                pass
            there.events.notify()
            assert await subscription.wait(5)
            assert not await idle.wait(0.1)
            await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await eventually(wakes_others)
