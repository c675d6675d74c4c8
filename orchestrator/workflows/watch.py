"""The changes and live texts of watched runs, read once for all watchers in this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import attrgetter
from uuid import UUID

import structlog

from mesh.errors import ServiceUnavailable
from mesh.memory.tail import Tail
from mesh.tasks import BackgroundTasks
from mesh.waiting import set_within
from orchestrator.executions.model import StepRef
from orchestrator.workflows.errors import RunNotFound
from orchestrator.workflows.live.following import LiveText, LiveTexts
from orchestrator.workflows.live.model import LivePiece, LivePosition
from orchestrator.workflows.model import Change, Run, RunState, Step
from orchestrator.workflows.ports import RunStore, RunSubscriptions

log = structlog.get_logger()

HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 1.0
"""How long it may take to find a change if its notification was lost."""
READ_AT_ONCE = 100
KEPT_CHANGES = 200
READERS = 3
"""How many reads may run at the same time in one process. When all watchers reconnect at once, other calls still need connections."""
FOREVER = 3600.0

Read = Callable[[UUID, int], Awaitable[Sequence[Change]]]


@dataclass(frozen=True, slots=True)
class Live:
    """A piece of the text of a background execution. It comes after the change with this sequence and is no change itself."""

    sequence: int
    piece: LivePiece


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Shows that the watch is alive: the watcher has received every change up to this sequence."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is final. Its last change has this sequence."""

    sequence: int
    state: RunState


class FollowedRun:
    """The newest changes of a watched run, after those in `run`, and its live text. Follows the run until `close`."""

    def __init__(self, run: Run, read: Read, subscriptions: RunSubscriptions, live: LiveTexts, tasks: BackgroundTasks) -> None:
        self.run_id = run.run_id
        self.live: LiveText | None = None
        """None for a run of a workflow."""
        self.tail = Tail[Change](KEPT_CHANGES, attrgetter("sequence"))
        self.tail.start(run.sequence)
        self._read_changes = read
        self._lifetime = ExitStack()
        self._subscription = self._lifetime.enter_context(subscriptions.subscribe(run.run_id))
        self._lifetime.callback(tasks.cancel, tasks.start("followed run", self._follow()))
        if run.workflow_id is None and not run.state.final:
            (step,) = run.steps
            self.live = LiveText(StepRef(run.run_id, step.task_id), step.state, self.tail.wake_in_turn)
            self._lifetime.enter_context(live.following(self.live))
        self.refresh()  # the run may have changed before the subscription began

    def refresh(self) -> None:
        """Reads the run again soon, because it may have changed."""
        self._subscription.notify()

    def close(self) -> None:
        self._lifetime.close()

    async def _follow(self) -> None:
        while True:
            await self._subscription.wait(FOREVER)
            try:
                await self._read()
            except ServiceUnavailable as error:  # the next poll retries
                log.warning("run_not_followed", run_id=str(self.run_id), error=error.message)

    async def _read(self) -> None:
        while changes := await self._read_changes(self.run_id, self.tail.end):
            self.tail.append(changes)
            for change in changes:
                if self.live is not None and isinstance(change.subject, Step):
                    self.live.step_changed(change.subject.state)
            await self.tail.wake_in_turn()


class RunWatch:
    """Follows the runs that are watched in this process: one read for each notification, and one query a second for all runs together."""

    def __init__(
        self,
        store: RunStore,
        subscriptions: RunSubscriptions,
        live: LiveTexts,
        tasks: BackgroundTasks,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._live = live
        self._tasks = tasks
        self._store = store
        self._subscriptions = subscriptions
        self._heartbeat = heartbeat_seconds
        self._followed: dict[UUID, FollowedRun] = {}
        self._readers = asyncio.Semaphore(READERS)
        self._stopping = False
        self._failing = False

    async def poll_forever(self) -> None:
        """Finds the changes whose notifications were lost, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._followed:
                continue
            try:
                await self._poll()
                self._failing = False
            except ServiceUnavailable as error:
                if not self._failing:
                    log.warning("runs_not_followed", runs=len(self._followed), error=error.message)
                self._failing = True

    def stop(self) -> None:
        """Ends every watch with ServiceUnavailable."""
        self._stopping = True
        for followed in self._followed.values():
            followed.tail.wake()

    async def changes(self, run: Run, after: int, read: LivePosition | None = None) -> AsyncIterator[Change | Live | Heartbeat | Ended]:
        """Yields the changes of a run after sequence `after`, each once and in order, and Ended after the last.

        `run` is the current run. In between, yields the text of a background execution as it grows, after the position `read`. Yields a
        Heartbeat after 15 s without either. Raises ServiceUnavailable if this process stops.
        """
        if run.state.final and after >= run.sequence:
            yield Ended(after, run.state)
            return
        with self._following(run) as (followed, grown):
            while True:
                grown.clear()
                found = await self._found(followed, after)
                if found is None and run.state.final:  # its changes were deleted after their retention
                    yield Ended(run.sequence, run.state)
                    return
                if found is None:
                    raise RunNotFound(f"run '{run.run_id}' was deleted while it was being watched", run_id=str(run.run_id))
                for change in found:
                    yield change
                    after = change.sequence
                    if isinstance(change.subject, Run) and change.subject.state.final:
                        yield Ended(after, change.subject.state)
                        return
                piece = followed.live.after(read) if followed.live else None
                if piece is not None:
                    yield Live(after, piece)
                    read = piece.position
                if not found and piece is None and not await set_within(grown, self._heartbeat):
                    yield Heartbeat(after)

    async def _poll(self) -> None:
        for run_id, sequence in await self._store.sequences(list(self._followed)):
            followed = self._followed.get(run_id)
            if followed is not None and sequence > followed.tail.end:
                followed.refresh()

    async def _read(self, run_id: UUID, after: int) -> Sequence[Change]:
        async with self._readers:
            return await self._store.changes(run_id, after, READ_AT_ONCE)

    async def _found(self, followed: FollowedRun, after: int) -> Sequence[Change] | None:
        """Returns the changes after a sequence; None if they are no longer stored."""
        if self._stopping:
            raise ServiceUnavailable(
                "this server is stopping; watch again with after_sequence set to the last sequence that you received",
                component="orchestrator",
            )
        kept = followed.tail.since(after)
        if kept is not None:
            return kept
        earlier = await self._read(followed.run_id, after)
        return earlier or None

    @contextmanager
    def _following(self, run: Run) -> Iterator[tuple[FollowedRun, asyncio.Event]]:
        followed = self._followed.get(run.run_id)
        if followed is None:
            followed = self._followed[run.run_id] = FollowedRun(run, self._read, self._subscriptions, self._live, self._tasks)
        elif run.sequence > followed.tail.end:
            followed.refresh()
        try:
            with followed.tail.watching() as grown:
                yield followed, grown
        finally:
            if not followed.tail.watched:
                del self._followed[run.run_id]
                followed.close()
