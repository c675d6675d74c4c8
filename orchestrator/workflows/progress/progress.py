"""The rules by which a run progresses. They are applied while the run's row is locked and do not depend on storage."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from orchestrator.executions.model import Failure
from orchestrator.workflows import events
from orchestrator.workflows.assignment import AgentMissing, AttemptFailed, Completed, HandedBack, Outcome, Spent
from orchestrator.workflows.events import WorkflowEvent
from orchestrator.workflows.model import Change, Decision, Run, RunState, Step, StepState, StoppedStep
from orchestrator.workflows.progress import failures
from orchestrator.workflows.progress.step_progress import StepProgress

MISSING_SECONDS = 60.0
"""How long a step waits for an agent that the catalogue does not have. Replacing a definition's file takes seconds."""
MISSING_RETRY_SECONDS = 2.0


class Progress:
    """Applies commands and reports to a run and its steps, and collects the results in `run`, `touched`, `changes` and `events`."""

    def __init__(self, run: Run, records: Iterable[StepProgress], now: datetime) -> None:
        self.run = run
        self.now = now
        self.records = {record.step.task_id: record for record in records}
        self.touched: dict[str, StepProgress] = {}
        self.changes: list[Change] = []
        self.events: list[WorkflowEvent] = []
        self.stops_steps = False
        """Whether running steps were fenced off, so that their workers must be notified."""

    @property
    def stopping(self) -> bool:
        """Whether the run ends when its running steps have ended."""
        return not self.run.state.final and (self.run.cancel_requested_at is not None or self.run.failed_task != "")

    def start(self) -> None:
        """Makes the first changes of the run: activates every step without predecessors."""
        self._record_change(self.run)
        self.events.append(events.started(self.run, len(self.records)))
        for record in self._in(StepState.PENDING):
            if record.waiting == 0:
                self._activate(record)
        self._update_run()

    def begin(self, task_id: str, owner: UUID, lease_seconds: float) -> bool:
        """Assigns a step to a worker; returns False if the step is not ready and due."""
        record = self.records.get(task_id)
        if record is None or record.step.state is not StepState.READY or record.due_at is None or record.due_at > self.now or self.stopping:
            return False
        self._assign(record, owner, lease_seconds)
        self._update_run()
        return True

    def report(self, task_id: str, owner: UUID, epoch: int, outcome: Outcome, spent: Spent) -> bool:
        """Applies a worker's report; returns False if the worker no longer holds the step.

        While the run is stopping, every outcome means that the step has stopped.
        """
        record = self.records.get(task_id)
        if record is None or record.step.state is not StepState.RUNNING or record.owner != owner:
            return False
        if self.stopping and record.epoch == epoch + 1:
            self._stopped(record, spent)
        elif record.epoch != epoch:
            return False
        elif isinstance(outcome, Completed):
            self._completed(record, outcome, spent)
        elif isinstance(outcome, AttemptFailed):
            self._failed(record, outcome, spent)
        elif isinstance(outcome, AgentMissing):
            self._agent_missing(record, outcome)
        else:
            self._handed_back(record, outcome)
        self._update_run()
        return True

    def successor(self, task_id: str) -> str | None:
        """Returns a step that the completion of this one has made ready, or None."""
        for record in self._in(StepState.READY):
            if task_id in record.depends_on and record.step.task_id in self.touched:
                return record.step.task_id
        return None

    def begin_successor(self, task_id: str, owner: UUID, lease_seconds: float) -> str | None:
        """Assigns a step that the completion of this one has made ready to the same worker; returns it, or None."""
        successor = self.successor(task_id)
        return successor if successor is not None and self.begin(successor, owner, lease_seconds) else None

    def lease_expired(self, task_id: str, spent: Spent, crash_limit: int) -> None:
        """Handles the expired lease of a running step, whose worker died or lost its connection."""
        record = self.records[task_id]
        if record.step.state is not StepState.RUNNING or record.lease_until is None or record.lease_until > self.now:
            return
        if self.stopping:
            self._stopped(record, spent)
        else:
            record.crashes += 1
            self._record_spent(record, spent)
            # If the answer is recorded, only the report is missing, so the step gets twice as many attempts.
            if record.crashes >= (2 * crash_limit if spent.answered else crash_limit):
                self._fail_for_good(record, failures.keeps_crashing(record.crashes))
            else:
                self._ready(record, self.now)
        self._update_run()

    def cancel(self) -> None:
        """Requests cancellation. Does nothing if the run is already stopping or final."""
        if self.run.state.final or self.stopping:
            return
        self.run = replace(self.run, cancel_requested_at=self.now)
        self._stop_all()
        self._update_run()

    def decide(self, task_id: str, decision: Decision, decided_by: int, reason: str, denied: Failure | None = None) -> bool:
        """Decides a pending approval; returns False if the step does not wait for one.

        `denied` is why an approved step may not run; the step then fails.
        """
        record = self.records.get(task_id)
        if record is None or record.step.state is not StepState.WAITING_APPROVAL or record.step.approval is None:
            return False
        approval = replace(record.step.approval, decision=decision, decided_by=decided_by, decided_at=self.now, reason=reason)
        record.step = replace(record.step, approval=approval)
        if decision is Decision.APPROVED and denied is not None:
            self._fail_for_good(record, denied)
        elif decision is Decision.APPROVED:
            self._ready(record, self.now)
        else:
            self._fail_for_good(record, failures.rejected(approval))
        self._update_run()
        return True

    def approval_timed_out(self, task_id: str) -> None:
        """Applies the default decision if the approval has expired."""
        record = self.records[task_id]
        approval = record.step.approval
        if approval is not None and approval.expires_at is not None and approval.expires_at <= self.now:
            self.decide(task_id, approval.default, 0, "")

    def _activate(self, record: StepProgress) -> None:
        approval = record.step.approval
        if approval is None:
            self._ready(record, self.now)
            return
        expires_at = self.now + timedelta(seconds=approval.timeout_seconds)
        waiting = replace(record.step, state=StepState.WAITING_APPROVAL, approval=replace(approval, expires_at=expires_at))
        self._set(record, waiting)
        self.events.append(events.approval_requested(self.run, waiting))

    def _ready(self, record: StepProgress, due_at: datetime) -> None:
        record.owner, record.lease_until, record.due_at = None, None, due_at
        self._set(record, replace(record.step, state=StepState.READY, next_attempt_at=due_at if record.step.attempts else None))

    def _assign(self, record: StepProgress, owner: UUID, lease_seconds: float) -> None:
        record.epoch += 1
        record.owner, record.lease_until, record.due_at = owner, self.now + timedelta(seconds=lease_seconds), None
        step = record.step
        started_at = step.started_at or self.now
        self.run = replace(self.run, started_at=self.run.started_at or self.now)
        self._set(record, replace(step, state=StepState.RUNNING, attempts=step.attempts + 1, started_at=started_at, next_attempt_at=None))

    def _completed(self, record: StepProgress, outcome: Completed, spent: Spent) -> None:
        self._record_spent(record, spent)
        self._finish(record, replace(record.step, state=StepState.COMPLETED, result=outcome.result, failure=None))
        for other in self.records.values():
            if record.step.task_id in other.depends_on:
                other.waiting -= 1
                self.touched[other.step.task_id] = other
                if other.waiting == 0 and other.step.state is StepState.PENDING:
                    self._activate(other)

    def _failed(self, record: StepProgress, outcome: AttemptFailed, spent: Spent) -> None:
        self._record_spent(record, spent)
        tries = record.step.attempts - record.crashes
        if not outcome.failure.retryable or tries >= record.retry.max_attempts:
            self._fail_for_good(record, outcome.failure)
            return
        delay = max(record.retry.delay_seconds * record.retry.backoff ** (tries - 1), outcome.retry_after_seconds)
        record.step = replace(record.step, failure=outcome.failure)
        self._ready(record, self.now + timedelta(seconds=delay * (1 + outcome.spread)))

    def _handed_back(self, record: StepProgress, outcome: HandedBack) -> None:
        record.step = replace(record.step, attempts=record.step.attempts - 1)
        self._ready(record, self.now + timedelta(seconds=outcome.delay_seconds))

    def _agent_missing(self, record: StepProgress, outcome: AgentMissing) -> None:
        record.missing_since = record.missing_since or self.now
        if (self.now - record.missing_since).total_seconds() >= MISSING_SECONDS:
            self._fail_for_good(record, outcome.failure)
        else:
            record.step = replace(record.step, attempts=record.step.attempts - 1)
            self._ready(record, self.now + timedelta(seconds=MISSING_RETRY_SECONDS))

    def _fail_for_good(self, record: StepProgress, failure: Failure) -> None:
        self._finish(record, replace(record.step, state=StepState.FAILED, failure=failure, next_attempt_at=None))
        self.run = replace(self.run, failure=failure, failed_task=record.step.task_id)
        self._stop_all()

    def _stop_all(self) -> None:
        """Fences off every unfinished step. Workers stop the running steps; the others never begin."""
        for record in self.records.values():
            if record.step.state.final:
                continue
            record.epoch += 1
            if record.step.state is StepState.RUNNING:
                self.touched[record.step.task_id] = record
                self.stops_steps = True
            else:
                self._finish(record, replace(record.step, state=StepState.CANCELLED, next_attempt_at=None))

    def _stopped(self, record: StepProgress, spent: Spent) -> None:
        self._record_spent(record, spent)
        self._finish(record, replace(record.step, state=StepState.CANCELLED))
        if self.run.cancel_requested_at is not None:
            last = spent.last_bill
            stopped = StoppedStep(record.step.task_id, spent.execution_id, last, last.usage.output_tokens if last else 0)
            self.run = replace(self.run, stopped_steps=(*self.run.stopped_steps, stopped))

    def _record_spent(self, record: StepProgress, spent: Spent) -> None:
        if spent.execution_id is not None:
            record.missing_since = None
            record.step = replace(
                record.step,
                execution_id=spent.execution_id,
                agent_revision=spent.agent_revision,
                bill=spent.bill,
                facts=spent.facts,
            )

    def _finish(self, record: StepProgress, step: Step) -> None:
        record.lease_until, record.due_at = None, None
        self._set(record, replace(step, finished_at=self.now))

    def _update_run(self) -> None:
        """Updates the state of the run from the states of its steps."""
        state = self._state()
        if state is self.run.state:
            return
        self.run = replace(self.run, state=state, finished_at=self.now if state.final else None)
        self._record_change(self.run)
        if state is RunState.COMPLETED:
            self.events.append(events.completed(self.run, [record.step for record in self.records.values()]))
        elif state is RunState.FAILED:
            self.events.append(events.failed(self.run))
        elif state is RunState.CANCELLED:
            self.events.append(events.cancelled(self.run))

    def _state(self) -> RunState:
        states = {record.step.state for record in self.records.values()}
        if self.run.state.final:
            return self.run.state
        if self.stopping:
            if StepState.RUNNING in states:
                return RunState.CANCELLING if self.run.cancel_requested_at is not None else RunState.RUNNING
            return RunState.CANCELLED if self.run.cancel_requested_at is not None else RunState.FAILED
        if states <= {StepState.COMPLETED}:
            return RunState.COMPLETED
        if states.isdisjoint({StepState.RUNNING, StepState.READY}):
            return RunState.WAITING_APPROVAL
        begun = self.run.state is not RunState.PENDING or StepState.RUNNING in states
        return RunState.RUNNING if begun else RunState.PENDING

    def _set(self, record: StepProgress, step: Step) -> None:
        record.step = step
        self.touched[step.task_id] = record
        self._record_change(step)

    def _record_change(self, subject: Run | Step) -> None:
        sequence = self.run.sequence + 1
        self.run = replace(self.run, sequence=sequence)
        self.changes.append(Change(self.run.run_id, sequence, self.run if isinstance(subject, Run) else subject))

    def _in(self, state: StepState) -> list[StepProgress]:
        return [record for record in self.records.values() if record.step.state is state]
