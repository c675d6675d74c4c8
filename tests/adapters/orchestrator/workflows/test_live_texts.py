"""The text of running background executions, in a real Redis: neither a gap nor a repetition, wherever a watcher begins."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.workflows.live import heads
from orchestrator.adapters.workflows.live.reader import RedisLiveTextReader
from orchestrator.adapters.workflows.live.writer import KEPT_SECONDS, RedisLiveTextWriter
from orchestrator.executions.books import new_id
from orchestrator.executions.model import Failure, StepRef
from orchestrator.workflows.assignment import Assignment, AttemptFailed, Completed, Report
from orchestrator.workflows.background import STEP
from orchestrator.workflows.live.following import LiveTexts
from orchestrator.workflows.live.model import LiveHead, LivePiece, LivePosition
from orchestrator.workflows.model import NewRun, Retry, Run, Step, Task, View
from orchestrator.workflows.watch import Ended, Live, RunWatch
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.following import AGENT_ID, USER, Runs, running_stores
from tests.adapters.orchestrator.workflows.test_run_watch import notifier
from tests.support.redis import running_redis
from tests.support.waiting import eventually

MOST_BYTES = 100_000
WORDS = "Bücher über Schlüsselwörter 🚀 in drei Sätzen. "
TEXT = "".join(f"{number} {WORDS}" for number in range(40))


@dataclass
class Attempt:
    """An attempt of a step whose worker is in this process."""

    writer: RedisLiveTextWriter
    assignment: Assignment
    execution_id: UUID

    @property
    def step(self) -> StepRef:
        return StepRef(self.assignment.lease_id.run_id, self.assignment.lease_id.task_id)

    def write(self, text: str) -> None:
        self.writer.grow(self.step, LiveHead(self.assignment.lease_id.epoch, self.assignment.attempt, self.execution_id), text)

    async def write_slowly(self, text: str) -> None:
        """Write in pieces, as an agent does."""
        for place in range(0, len(text), 7):
            self.write(text[place : place + 7])
            await asyncio.sleep(0.005)


@dataclass
class Scene:
    """Background executions, and the workers and orchestrators of this process."""

    runs: Runs
    redis_url: str
    lifetime: AsyncExitStack
    door: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Leaves connections to the watches."""

    async def start(self) -> Run:
        task = Task(STEP, AGENT_ID, "Write.", retry=Retry(max_attempts=3, delay_seconds=0))
        run = await self.runs.store.start(NewRun(new_id(), None, USER, "ann", "user", "req_1", [task]), None)
        assert isinstance(run, Run)
        return run

    async def writer(self, most_bytes: int = MOST_BYTES) -> RedisLiveTextWriter:
        """The texts of a worker."""
        redis = await self.lifetime.enter_async_context(Redis.from_url(self.redis_url))
        writer = RedisLiveTextWriter(redis, most_bytes)
        BackgroundTasks().start_on(self.lifetime, "live texts", writer.run())
        return writer

    async def attempt(self, writer: RedisLiveTextWriter) -> Attempt:
        """The next attempt of the only step that is ready."""
        (assignment,) = (await self.runs.steps.claim(1)).assignments
        attempt = Attempt(writer, assignment, new_id())
        attempt.write("")
        return attempt

    async def report(self, attempt: Attempt, outcome: Completed | AttemptFailed) -> None:
        """End an attempt as a worker does."""
        assert (await self.runs.steps.report(Report(attempt.assignment.lease_id, outcome, take_successor=False))).counted
        attempt.writer.end(attempt.step, attempt.assignment.lease_id.epoch)

    async def watch(self) -> RunWatch:
        """The watch of an orchestrator."""
        notifications = await self.lifetime.enter_async_context(notifier(self.redis_url))
        live = LiveTexts(RedisLiveTextReader(await self.lifetime.enter_async_context(Redis.from_url(self.redis_url))))
        tasks = BackgroundTasks()
        watch = RunWatch(self.runs.store, notifications, live, tasks)
        tasks.start_on(self.lifetime, "live texts", live.read_forever())
        tasks.start_on(self.lifetime, "watched runs", watch.poll_forever())
        return watch

    async def current(self, run: Run) -> Run:
        async with self.door:
            now = await self.runs.store.get(USER, run.run_id, View.BASIC)
        assert now is not None
        return now


@asynccontextmanager
async def scene_of(books_url: str, engine: AsyncEngine, redis_url: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as lifetime, notifier(redis_url) as notified, running_stores(books_url, engine, notified) as runs:
        yield Scene(runs, redis_url, lifetime)
        await lifetime.aclose()


@pytest.fixture
async def scene(books_url: str, db: Connection, engine: AsyncEngine, redis_url: str) -> AsyncIterator[Scene]:
    await db.execute("TRUNCATE workflows, runs CASCADE")
    async with scene_of(books_url, engine, redis_url) as scene:
        yield scene


class Reader:
    """A watcher that keeps what it has read, like a console."""

    def __init__(self, scene: Scene, run: Run) -> None:
        self.scene = scene
        self.run = run
        self.texts: dict[UUID, str] = {}
        self.attempts: list[int] = []
        self.position: LivePosition | None = None
        self.sequence = 0
        self.result = ""
        self.ended = False

    def take(self, piece: LivePiece) -> None:
        known = self.texts.setdefault(piece.execution_id, "")
        assert piece.offset == len(known), "a gap or a repetition"
        if not known and piece.execution_id != (self.position.execution_id if self.position else None):
            self.attempts.append(piece.attempt)
        self.texts[piece.execution_id] += piece.text
        self.position = piece.position

    async def read(self, watch: RunWatch, pieces: int = 10_000, until: str | None = None) -> None:
        """Read until the run ends, or until so many pieces or this text have arrived; then disconnect."""
        items = watch.changes(await self.scene.current(self.run), self.sequence, self.position)
        async for item in items:
            if isinstance(item, Ended):
                self.ended = True
                return
            self.sequence = item.sequence
            if isinstance(item, Live):
                self.take(item.piece)
                pieces -= 1
                if pieces == 0 or (until is not None and self.text == until):
                    break
            elif getattr(item, "subject", None) is not None and isinstance(item.subject, Step):  # type: ignore[union-attr]
                self.result = item.subject.result  # type: ignore[union-attr]
        await items.aclose()  # type: ignore[attr-defined]

    @property
    def text(self) -> str:
        return self.texts[self.position.execution_id] if self.position else ""


async def test_watchers_that_reconnect_read_the_text_once(scene: Scene) -> None:
    """Twelve of them, in two processes, who arrive and leave at any time."""
    run = await scene.start()
    watches = [await scene.watch() for _ in range(2)]
    chance = random.Random(11)

    async def follow(reader: Reader, late: float) -> None:
        await asyncio.sleep(late)
        while not reader.ended:
            await reader.read(chance.choice(watches), pieces=chance.randint(1, 4))

    readers = [Reader(scene, run) for _ in range(12)]
    following = [asyncio.create_task(follow(reader, chance.random())) for reader in readers]
    attempt = await scene.attempt(await scene.writer())
    await attempt.write_slowly(TEXT)
    last = Reader(scene, run)
    await last.read(watches[0], until=TEXT)  # attaches when the text is complete
    await scene.report(attempt, Completed(TEXT))
    await asyncio.gather(*following)
    for reader in readers:
        assert TEXT.startswith(reader.text)
        assert (len(reader.text) > len(TEXT) / 2, reader.result, reader.attempts) == (True, TEXT, [1])


async def test_a_new_attempt_begins_anew_and_the_old_one_is_forgotten(scene: Scene) -> None:
    run, watch, writer = await scene.start(), await scene.watch(), await scene.writer()
    first = await scene.attempt(writer)
    first.write("The first half ")
    reader = Reader(scene, run)
    await reader.read(watch, until="The first half ")
    await scene.report(first, AttemptFailed(Failure("LLM_API_ERROR", "overloaded", {}, retryable=True)))
    second = await scene.attempt(writer)
    await reader.read(watch, until="")
    assert (reader.attempts, reader.text) == ([1, 2], "")
    second.write("Another ")
    second.write("text.")
    late = Reader(scene, run)
    for one in (reader, late):
        await one.read(watch, until="Another text.")
    assert reader.texts == {first.execution_id: "The first half ", second.execution_id: "Another text."}
    assert late.texts == {second.execution_id: "Another text."}
    assert late.attempts == [2]


async def test_a_worker_that_has_lost_its_step_does_not_disturb_its_successor(scene: Scene, db: Connection) -> None:
    run, watch = await scene.start(), await scene.watch()
    lost = await scene.attempt(await scene.writer())
    lost.write("lost ")
    reader = Reader(scene, run)
    await reader.read(watch, until="lost ")
    own = replace(lost.assignment, lease_id=lost.assignment.lease_id._replace(epoch=lost.assignment.lease_id.epoch + 1))
    successor = Attempt(await scene.writer(), own, new_id())
    successor.write("new ")
    await reader.read(watch, until="new ")
    for number in range(5):
        lost.write(f"zombie {number}")
        successor.write(f"{number} ")
    lost.writer.end(lost.step, lost.assignment.lease_id.epoch)
    await reader.read(watch, until="new 0 1 2 3 4 ")
    assert reader.texts == {lost.execution_id: "lost ", successor.execution_id: "new 0 1 2 3 4 "}
    async with Redis.from_url(scene.redis_url) as redis:
        assert str(successor.execution_id).encode() in await redis.get(heads.key(lost.step))


async def test_a_text_is_deleted_when_its_attempt_ends_and_expires_if_its_worker_dies(scene: Scene) -> None:
    run, watch = await scene.start(), await scene.watch()
    attempt = await scene.attempt(await scene.writer())
    attempt.write("some text")
    await Reader(scene, run).read(watch, until="some text")
    async with Redis.from_url(scene.redis_url) as redis:
        key = heads.key(attempt.step)
        assert 0 < await redis.ttl(key) <= KEPT_SECONDS
        await scene.report(attempt, Completed("some text"))

        async def gone() -> bool:
            return not await redis.exists(key)

        await eventually(gone)
    late = Reader(scene, run)
    await late.read(watch)
    assert (late.texts, late.result) == ({}, "some text")


@pytest.mark.parametrize("running", [True, False])
async def test_a_text_outlives_the_loss_of_redis(
    books_url: str, db: Connection, engine: AsyncEngine, tmp_path: Path, running: bool
) -> None:
    """Flushed while it runs, or stopped and started empty: the worker writes the whole text again."""
    await db.execute("TRUNCATE workflows, runs CASCADE")
    async with running_redis(tmp_path / "redis") as server, scene_of(books_url, engine, server.url()) as scene:
        run, watch, writer = await scene.start(), await scene.watch(), await scene.writer()
        attempt = await scene.attempt(writer)
        attempt.write("before ")
        reader = Reader(scene, run)
        await reader.read(watch, until="before ")
        if not running:
            await server.stop()
            attempt.write("meanwhile ")
            silent = Reader(scene, run)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(silent.read(await scene.watch()), 1.5)  # a new process knows nothing, and does not fail
            assert (silent.texts, silent.sequence) == ({}, (await scene.current(run)).sequence)
            await server.start()
        async with Redis.from_url(server.url()) as redis:
            await redis.flushall()
        attempt.write("after")
        whole = "before after" if running else "before meanwhile after"
        for one, process in ((reader, watch), (Reader(scene, run), await scene.watch())):
            await asyncio.wait_for(one.read(process, until=whole), 10)
            assert one.texts == {attempt.execution_id: whole}


async def test_a_run_ends_without_redis(books_url: str, db: Connection, engine: AsyncEngine, tmp_path: Path) -> None:
    await db.execute("TRUNCATE workflows, runs CASCADE")
    async with running_redis(tmp_path / "redis") as server, scene_of(books_url, engine, server.url()) as scene:
        await server.stop()
        run, watch = await scene.start(), await scene.watch()
        reader = Reader(scene, run)
        reading = asyncio.create_task(reader.read(watch))
        attempt = await scene.attempt(await scene.writer())
        await attempt.write_slowly(TEXT)
        await scene.report(attempt, Completed(TEXT))
        await asyncio.wait_for(reading, 10)
        assert (reader.texts, reader.result) == ({}, TEXT)
        await server.start()


async def test_a_text_that_outgrows_the_bound_is_cut_off_and_says_so(scene: Scene) -> None:
    run, watch = await scene.start(), await scene.watch()
    attempt = await scene.attempt(await scene.writer(most_bytes=10))
    for piece in ("12345", "6789", "ü", "x", "y"):
        attempt.write(piece)
    reader = Reader(scene, run)
    while reader.position is None or not reader.position.truncated:
        await reader.read(watch, pieces=1)
    attempt.write("z")
    assert reader.text == "123456789"
    await scene.report(attempt, Completed("the whole"))
    await reader.read(watch)
    assert (reader.text, reader.result) == ("123456789", "the whole")


async def test_a_text_costs_at_most_ten_writes_a_second_and_no_reads_while_nobody_watches(
    books_url: str, db: Connection, engine: AsyncEngine, tmp_path: Path
) -> None:
    await db.execute("TRUNCATE workflows, runs CASCADE")
    async with running_redis(tmp_path / "redis") as server, scene_of(books_url, engine, server.url()) as scene:
        await scene.start()
        await scene.watch()
        attempt = await scene.attempt(await scene.writer())
        async with Redis.from_url(server.url()) as redis:

            async def scripts() -> int:
                return int((await redis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"])

            async def text() -> bool:
                return (await redis.get(heads.key(attempt.step)) or b"").endswith(TEXT.encode())

            began = asyncio.get_running_loop().time()
            await attempt.write_slowly(TEXT)
            await eventually(text)
            took = asyncio.get_running_loop().time() - began
            written = await scripts()
            assert 2 <= written <= took * 10 + 3
