"""Takes steps that are ready as long as there are free slots, and runs each as a task of its own."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from mesh import backoff
from mesh.errors import ServiceUnavailable
from mesh.tasks import BackgroundTasks
from orchestrator.executions.model import Failure
from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import Assignment, AttemptFailed, Completed, Outcome, Report, Reported
from orchestrator.workflows.engine.leased_steps import LeasedStep, LeasedSteps
from orchestrator.workflows.errors import ReportRefused
from orchestrator.workflows.metrics import CLAIMS, QUEUE_AGE
from orchestrator.workflows.ports import StepStore, WorkerWakeup

log = structlog.get_logger()

_ANSWER_LOST = Failure(
    "AGENT_EXECUTION_FAILED",
    "the agent answered, but the database lost the answer in a crash and counts the execution as outcome_unknown; the step is tried again",
    {},
    retryable=True,
)
_GATHER_SECONDS = 0.01
"""Under load, how long freed slots gather before new steps are taken for all of them at once."""
_LONGEST_TIMER = 3600.0


def most_of_one_user(slots: int) -> int:
    """How many of a worker's slots one user may fill: 7/8. The rest stays free for others, or long steps would keep them out."""
    return max(1, slots * 7 // 8)


class Performer(Protocol):
    async def perform(self, assignment: Assignment, stop: StopSignal) -> Outcome:
        """What came of it."""
        ...

    async def settle_again(self, assignment: Assignment) -> bool:
        """Restores the settlement of the attempt's execution after a crash of the database; False when it is lost for good."""
        ...

    def reported(self, assignment: Assignment) -> None:
        """The attempt's outcome has been committed, or cannot be any more."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once, how often, how long. In seconds."""

    slots: int
    lease: float
    heartbeat: float
    poll: float
    drain: float


class Dispatcher:
    """One per worker. `wake` and `look` may be called at any time."""

    def __init__(self, store: StepStore, performer: Performer, wakeup: WorkerWakeup, pace: Pace, tasks: BackgroundTasks) -> None:
        self._background = tasks
        self._store = store
        self._performer = performer
        self._wakeup = wakeup
        self._pace = pace
        self._leased_steps = LeasedSteps()
        self._tasks: set[asyncio.Task[None]] = set()
        self._notified = asyncio.Event()
        self._looking = asyncio.Event()
        self._saturated = False
        self._limited = False
        self._unconfirmed = False
        self._draining = False

    def wake(self) -> None:
        """Steps may be ready."""
        self._notified.set()

    def look(self) -> None:
        """Steps may have to be stopped."""
        self._looking.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set; then lets its steps finish, and hands back those that take too long."""
        start = self._background.start
        leases = [start("step leases", self._keep(), urgent=True), start("step lease expiry", self._expire(), urgent=True)]
        loops = [start("step claims", self._claim()), start("step recovery", self._recover())]
        try:
            await stop.wait()
            self._draining = True
            await self._background.stop(*loops)
            await self._drain()
        finally:
            await self._background.stop(*loops, *leases, *self._tasks)

    async def _drain(self) -> None:
        if self._tasks:
            log.info("steps_draining", steps=len(self._tasks))
            await asyncio.wait(self._tasks, timeout=0 if self._background.urgent else self._pace.drain)
        for leased in self._leased_steps:
            leased.stop.set()
        if self._tasks:
            log.info("steps_handed_back", steps=len(self._tasks))
            await asyncio.wait(self._tasks, timeout=self._pace.lease)

    async def _claim(self) -> None:
        while True:
            self._notified.clear()
            if (free := self._pace.slots - len(self._tasks)) > 0:
                await self._take(free)
            else:
                self._saturated = True  # others may be waiting: whoever ends now must not go on with a successor of its own
            if not self._saturated or len(self._tasks) >= self._pace.slots:
                await _set_within(self._notified, self._pace.poll)
            if self._saturated:
                await asyncio.sleep(_GATHER_SECONDS)

    async def _take(self, free: int) -> None:
        began = _now()
        try:
            claimed = await self._store.claim(free)
        except ServiceUnavailable:
            self._unconfirmed = True
            self._saturated = self._limited = False
            log.warning("steps_not_claimed")
            return
        CLAIMS.labels("steps" if claimed.assignments else "nothing").inc()
        for assignment in claimed.assignments:
            self._start(assignment, began)
        if claimed.more and not self._saturated and claimed.assignments:
            self._wakeup.notify(claimed.assignments[-1].lease_id.run_id)  # for a worker that has room
        self._saturated, self._limited = claimed.more, claimed.limited
        if claimed.refill_in_seconds is not None:
            asyncio.get_running_loop().call_later(claimed.refill_in_seconds, self.wake)

    def _start(self, assignment: Assignment, began: float) -> None:
        leased = self._leased_steps.take(assignment, began + self._pace.lease)
        if leased is not None:
            self._run_task(self._work(leased))

    def _run_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if self._saturated or self._limited:
            self.wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("step_task_failed", exc_info=error)

    async def _work(self, leased: LeasedStep | None) -> None:
        """Does a step, and then those of its successors that come with the confirmation, one after another."""
        while leased is not None:
            try:
                outcome = await self._performer.perform(leased.assignment, leased.stop)
                began = _now()
                reported = await self._report(leased, outcome)
                following = self._following(reported, began)
            finally:
                self._leased_steps.release(leased)
                self._performer.reported(leased.assignment)
            leased = following

    def _following(self, reported: Reported, began: float) -> LeasedStep | None:
        if reported.others_ready:
            self.wake()
            if len(self._tasks) >= self._pace.slots and reported.following is not None:
                self._wakeup.notify(reported.following.lease_id.run_id)
        if reported.retry_in_seconds is not None and reported.retry_in_seconds < _LONGEST_TIMER:
            asyncio.get_running_loop().call_later(reported.retry_in_seconds, self.wake)
        return self._leased_steps.take(reported.following, began + self._pace.lease) if reported.following else None

    async def _report(self, leased: LeasedStep, outcome: Outcome) -> Reported:
        """Says what came of a step, again and again: as long as nobody else has the step it is this worker's to say."""
        lease_id, settled = leased.assignment.lease_id, True
        for wait in backoff.delays():
            try:
                reported = await self._store.report(Report(lease_id, outcome, self._may_go_on(leased), settled))
                if not reported.unsettled:
                    return reported
                settled = await self._performer.settle_again(leased.assignment)
                if not settled and isinstance(outcome, Completed):
                    outcome = AttemptFailed(_ANSWER_LOST)
            except ServiceUnavailable:
                self._unconfirmed = True
                await asyncio.sleep(wait)
            except ReportRefused as error:
                log.exception("report_refused", run_id=str(lease_id.run_id), task_id=lease_id.task_id, exc_info=error)
                break
        return Reported(counted=False)  # the lease ends, and the step's crashes are counted

    def _may_go_on(self, leased: LeasedStep) -> bool:
        """Whether the worker may do a successor at once, past the queue: only while nothing else waits for its slots."""
        return not self._draining and not self._saturated and not leased.stop.is_set

    async def _keep(self) -> None:
        """Keeps the leases, and learns which steps are not the worker's any more."""
        while True:
            await _set_within(self._looking, self._pace.heartbeat)
            self._looking.clear()
            began = _now()
            if asked := self._leased_steps.lease_ids:
                with suppress(ServiceUnavailable):  # `_expire` sees to what cannot be prolonged
                    ours = await self._store.renew(asked)
                    self._leased_steps.confirm(asked, ours, began + self._pace.lease * 2 / 3)
            if self._unconfirmed and not self._draining:
                await self._adopt()

    async def _expire(self) -> None:
        """Whatever the database does, no step goes on past its lease."""
        while True:
            await asyncio.sleep(self._pace.heartbeat)
            self._leased_steps.expire(_now())

    async def _adopt(self) -> None:
        try:
            began = _now()
            forgotten = await self._store.forgotten(self._leased_steps.lease_ids)
        except ServiceUnavailable:
            return
        self._unconfirmed = False
        for assignment in forgotten:
            log.info("step_adopted", run_id=str(assignment.lease_id.run_id), task_id=assignment.lease_id.task_id)
            self._start(assignment, began)

    async def _recover(self) -> None:
        """Once in a while, what nobody else may be there to do."""
        while True:
            try:
                if await self._store.recover():
                    self.wake()
                QUEUE_AGE.set(await self._store.queue_age())
            except ServiceUnavailable:
                log.warning("steps_not_tended")
            await asyncio.sleep(self._pace.poll)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Waits for the event, but not longer."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _now() -> float:
    return asyncio.get_running_loop().time()
