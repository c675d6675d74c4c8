"""Claims ready steps while slots are free and runs each step in its own task."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from mesh import backoff
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ServiceUnavailable
from mesh.tasks import BackgroundTasks
from mesh.waiting import set_within
from orchestrator.executions.model import Failure
from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import Assignment, AttemptFailed, Completed, Outcome, Report, Reported
from orchestrator.workflows.engine.leased_steps import LeasedStep, LeasedSteps
from orchestrator.workflows.errors import ReportRefused
from orchestrator.workflows.metrics import CLAIMS, QUEUE_AGE, SLOTS
from orchestrator.workflows.ports import StepStore, WorkerWakeup

log = structlog.get_logger()

_ANSWER_LOST = Failure(
    "AGENT_EXECUTION_FAILED",
    "the agent answered, but a database crash lost the answer and the execution is recorded as outcome_unknown; the step is retried",
    {},
    retryable=True,
)
_GATHER_SECONDS = 0.01
"""Under load, how long freed slots accumulate before one claim fills all of them."""
_LONGEST_TIMER = 3600.0


def most_of_one_user(slots: int) -> int:
    """Returns how many slots of a worker one user may fill: 7/8. The rest is reserved, so long steps of one user cannot block others."""
    return max(1, slots * 7 // 8)


class Performer(Protocol):
    async def perform(self, assignment: Assignment, stop: StopSignal) -> Outcome: ...

    async def settle_again(self, assignment: Assignment) -> bool:
        """Restores the settlement of the attempt's execution after a database crash; returns False if it cannot be restored."""
        ...

    def reported(self, assignment: Assignment) -> None:
        """Called when the attempt's outcome is committed or can no longer be committed."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """The number of slots, and the intervals and timeouts in seconds."""

    slots: int
    lease: float
    heartbeat: float
    poll: float
    drain: float


class Dispatcher:
    """Runs the steps of one worker. `wake` and `check_leases` may be called at any time."""

    def __init__(
        self,
        store: StepStore,
        performer: Performer,
        wakeup: WorkerWakeup,
        pace: Pace,
        tasks: BackgroundTasks,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._now = clock.monotonic
        self._background = tasks
        self._store = store
        self._performer = performer
        self._wakeup = wakeup
        self._pace = pace
        SLOTS.set(pace.slots)
        self._leased_steps = LeasedSteps()
        self._tasks: set[asyncio.Task[None]] = set()
        self._notified = asyncio.Event()
        self._check_requested = asyncio.Event()
        self._saturated = False
        self._limited = False
        self._unconfirmed = False
        self._draining = False

    def wake(self) -> None:
        """Claims steps soon, because some may be ready."""
        self._notified.set()

    def check_leases(self) -> None:
        """Renews the leases soon, because steps may have to be stopped."""
        self._check_requested.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set; then waits for its steps to finish and hands back those that exceed `pace.drain`."""
        start = self._background.start
        leases = [start("step leases", self._renew_leases(), urgent=True), start("step lease expiry", self._expire_leases(), urgent=True)]
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
                await self._claim_batch(free)
            else:
                self._saturated = True  # other steps may be waiting, so a finished step must not continue with its successor
            if not self._saturated or len(self._tasks) >= self._pace.slots:
                await set_within(self._notified, self._pace.poll)
            if self._saturated:
                await asyncio.sleep(_GATHER_SECONDS)

    async def _claim_batch(self, free: int) -> None:
        started_at = self._now()
        try:
            claimed = await self._store.claim(free)
        except ServiceUnavailable:
            self._unconfirmed = True
            self._saturated = self._limited = False
            log.warning("steps_not_claimed")
            return
        CLAIMS.labels("steps" if claimed.assignments else "nothing").inc()
        for assignment in claimed.assignments:
            self._start(assignment, started_at)
        if claimed.more and not self._saturated and claimed.assignments:
            self._wakeup.notify(claimed.assignments[-1].lease_id.run_id)  # for a worker that has room
        self._saturated, self._limited = claimed.more, claimed.limited
        if claimed.refill_in_seconds is not None:
            asyncio.get_running_loop().call_later(claimed.refill_in_seconds, self.wake)

    def _start(self, assignment: Assignment, started_at: float) -> None:
        leased = self._leased_steps.take(assignment, started_at + self._pace.lease)
        if leased is not None:
            self._run_task(self._work(leased))

    def _run_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._background.start_once("step", work, vital=False)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if self._saturated or self._limited:
            self.wake()

    async def _work(self, leased: LeasedStep | None) -> None:
        """Runs a step and then, one after another, the successors that the reports return."""
        while leased is not None:
            try:
                outcome = await self._performer.perform(leased.assignment, leased.stop)
                started_at = self._now()
                reported = await self._report(leased, outcome)
                following = self._following(reported, started_at)
            finally:
                self._leased_steps.release(leased)
                self._performer.reported(leased.assignment)
            leased = following

    def _following(self, reported: Reported, started_at: float) -> LeasedStep | None:
        if reported.others_ready:
            self.wake()
            if len(self._tasks) >= self._pace.slots and reported.following is not None:
                self._wakeup.notify(reported.following.lease_id.run_id)
        if reported.retry_in_seconds is not None and reported.retry_in_seconds < _LONGEST_TIMER:
            asyncio.get_running_loop().call_later(reported.retry_in_seconds, self.wake)
        return self._leased_steps.take(reported.following, started_at + self._pace.lease) if reported.following else None

    async def _report(self, leased: LeasedStep, outcome: Outcome) -> Reported:
        """Reports the outcome of a step, and retries until the store answers."""
        lease_id, settled = leased.assignment.lease_id, True
        for wait in backoff.delays():
            try:
                reported = await self._store.report(Report(lease_id, outcome, self._may_take_successor(leased), settled))
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
        return Reported(counted=False)  # the lease expires, which counts as a crash of the step

    def _may_take_successor(self, leased: LeasedStep) -> bool:
        """Whether the worker may run a successor at once and bypass the queue: only while no other step waits for its slots."""
        return not self._draining and not self._saturated and not leased.stop.is_set

    async def _renew_leases(self) -> None:
        """Renews the leases and stops the steps that this worker no longer holds."""
        while True:
            await set_within(self._check_requested, self._pace.heartbeat)
            self._check_requested.clear()
            started_at = self._now()
            if asked := self._leased_steps.lease_ids:
                with suppress(ServiceUnavailable):  # `_expire_leases` stops steps whose lease cannot be renewed
                    renewed = await self._store.renew(asked)
                    self._leased_steps.confirm(asked, renewed, started_at + self._pace.lease * 2 / 3)
            if self._unconfirmed and not self._draining:
                await self._adopt()

    async def _expire_leases(self) -> None:
        """Stops every step whose lease has expired, even if the database is unavailable."""
        while True:
            await asyncio.sleep(self._pace.heartbeat)
            self._leased_steps.expire(self._now())

    async def _adopt(self) -> None:
        try:
            started_at = self._now()
            unconfirmed = await self._store.unconfirmed(self._leased_steps.lease_ids)
        except ServiceUnavailable:
            return
        self._unconfirmed = False
        for assignment in unconfirmed:
            log.info("step_adopted", run_id=str(assignment.lease_id.run_id), task_id=assignment.lease_id.task_id)
            self._start(assignment, started_at)

    async def _recover(self) -> None:
        """Periodically recovers steps whose worker died; every worker does this."""
        while True:
            try:
                if await self._store.recover():
                    self.wake()
                QUEUE_AGE.set(await self._store.queue_age())
            except ServiceUnavailable:
                log.warning("steps_not_recovered")
            await asyncio.sleep(self._pace.poll)
