"""Runs as they change, read once for all who watch them in this process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from uuid import UUID

import structlog

from mesh.errors import ServiceUnavailable
from mesh.tasks import BackgroundTasks
from orchestrator.workflows.errors import RunNotFound
from orchestrator.workflows.model import Change, Run, RunState
from orchestrator.workflows.ports import RunStore, RunSubscriptions

log = structlog.get_logger()

HEARTBEAT_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""How long a change that no notifier told of may stay unseen."""
READ_AT_ONCE = 100
KEPT_CHANGES = 200
READERS = 3
"""How many reads may be under way in one process: watchers who all come back at once must leave connections to everybody else."""
FOREVER = 3600.0

Read = Callable[[UUID, int], Awaitable[Sequence[Change]]]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing has changed for a while since the change with this sequence."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is final, and the change with this sequence was its last."""

    sequence: int
    state: RunState


class FollowedRun:
    """One run that somebody watches: its newest changes, from `run` on. It follows from its making until it is left."""

    def __init__(self, run: Run, read: Read, subscriptions: RunSubscriptions, tasks: BackgroundTasks) -> None:
        self.run_id = run.run_id
        self.end = run.sequence
        self.watchers: set[asyncio.Event] = set()
        self._begin = run.sequence
        self._kept: deque[Change] = deque(maxlen=KEPT_CHANGES)
        self._read_changes = read
        self._lifetime = ExitStack()
        self._subscription = self._lifetime.enter_context(subscriptions.subscribe(run.run_id))
        self._lifetime.callback(tasks.cancel, tasks.start("followed run", self._follow()))
        self.look()  # it may have changed before the subscription was there

    def look(self) -> None:
        """Has the run read again, because it may have changed."""
        self._subscription.notify()

    def leave(self) -> None:
        self._lifetime.close()

    def since(self, sequence: int) -> Sequence[Change] | None:
        """The changes after that one; None when what is kept does not reach back so far."""
        if sequence < self._begin:
            return None
        return [*takewhile(lambda change: change.sequence > sequence, reversed(self._kept))][::-1]

    async def _follow(self) -> None:
        while True:
            await self._subscription.wait(FOREVER)
            try:
                await self._read()
            except ServiceUnavailable as error:  # the look of every second tries again
                log.warning("run_not_followed", run_id=str(self.run_id), error=error.message)

    async def _read(self) -> None:
        while changes := await self._read_changes(self.run_id, self.end):
            for change in changes:
                if len(self._kept) == KEPT_CHANGES:
                    self._begin = self._kept[0].sequence
                self._kept.append(change)
                self.end = change.sequence
            for grown in self.watchers:
                grown.set()


class RunWatch:
    """Follows the runs that are watched here: one read for each notification of the notifier, and one look a second at all of them."""

    def __init__(
        self, store: RunStore, subscriptions: RunSubscriptions, tasks: BackgroundTasks, heartbeat_seconds: float = HEARTBEAT_SECONDS
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._subscriptions = subscriptions
        self._heartbeat = heartbeat_seconds
        self._followed: dict[UUID, FollowedRun] = {}
        self._readers = asyncio.Semaphore(READERS)
        self._stopping = False
        self._lost = False

    async def look_forever(self) -> None:
        """Finds what no notifier told of, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._followed:
                continue
            try:
                await self._look()
                self._lost = False
            except ServiceUnavailable as error:
                if not self._lost:
                    log.warning("runs_not_followed", runs=len(self._followed), error=error.message)
                self._lost = True

    def stop(self) -> None:
        """Sends every watcher away."""
        self._stopping = True
        for followed in self._followed.values():
            for grown in followed.watchers:
                grown.set()

    async def changes(self, run: Run, after: int) -> AsyncIterator[Change | Heartbeat | Ended]:
        """The changes of a run after one of them, each once and in order; Ended after the last.

        `run` is the run as it is now, not before that change. Heartbeat comes whenever nothing has changed for 15 s. Raises
        ServiceUnavailable when this process stops.
        """
        if run.state.final and after >= run.sequence:
            yield Ended(after, run.state)
            return
        with self._following(run) as (followed, grown):
            while True:
                grown.clear()
                found = await self._found(followed, after)
                if found is None and run.state.final:  # its changes are older than their retention
                    yield Ended(run.sequence, run.state)
                    return
                if found is None:
                    raise RunNotFound("the run was deleted while it was being watched", run_id=str(run.run_id))
                for change in found:
                    yield change
                    after = change.sequence
                    if isinstance(change.subject, Run) and change.subject.state.final:
                        yield Ended(after, change.subject.state)
                        return
                if not found and not await _set_within(grown, self._heartbeat):
                    yield Heartbeat(after)

    async def _look(self) -> None:
        for run_id, sequence in await self._store.sequences(list(self._followed)):
            followed = self._followed.get(run_id)
            if followed is not None and sequence > followed.end:
                followed.look()

    async def _read(self, run_id: UUID, after: int) -> Sequence[Change]:
        async with self._readers:
            return await self._store.changes(run_id, after, READ_AT_ONCE)

    async def _found(self, followed: FollowedRun, after: int) -> Sequence[Change] | None:
        """The changes after that one; None if none is stored, although there have been some."""
        if self._stopping:
            raise ServiceUnavailable("this server stops; watch again after the last sequence that was seen", component="orchestrator")
        kept = followed.since(after)
        if kept is not None:
            return kept
        earlier = await self._read(followed.run_id, after)
        return earlier or None

    @contextmanager
    def _following(self, run: Run) -> Iterator[tuple[FollowedRun, asyncio.Event]]:
        followed = self._followed.get(run.run_id)
        if followed is None:
            followed = self._followed[run.run_id] = FollowedRun(run, self._read, self._subscriptions, self._tasks)
        elif run.sequence > followed.end:
            followed.look()
        grown = asyncio.Event()
        followed.watchers.add(grown)
        try:
            yield followed, grown
        finally:
            followed.watchers.discard(grown)
            if not followed.watchers:
                del self._followed[run.run_id]
                followed.leave()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
