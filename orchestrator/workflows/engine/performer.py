"""Performs one attempt of a step."""

import random
from collections.abc import Callable
from uuid import UUID

import structlog

from catalogue.errors import AgentNotFound
from mesh import correlation
from mesh.errors import CallCancelled, MeshError, RemoteError, ServiceUnavailable
from mesh.security import caller
from orchestrator.executions.facts import StopReason
from orchestrator.executions.model import Failure, StepRef, Work
from orchestrator.executions.ports import OnText
from orchestrator.executions.service import Answered, ExecutionService
from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import AgentMissing, Assignment, AttemptFailed, Completed, HandedBack, Outcome
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.live.model import LiveHead
from orchestrator.workflows.model import OnIncomplete
from orchestrator.workflows.ports import LiveTextWriter
from orchestrator.workflows.tasks import templates

log = structlog.get_logger()

RETRY_SPREAD = 0.25
"""The largest fraction by which the wait before a retry is lengthened at random. Otherwise a provider that rejects many steps at once
would get all of them again at once."""
INCOMPLETE = "ANSWER_INCOMPLETE"
_CUT_OFF = ("max_tokens", "model_context_window_exceeded")
"""The provider's stop reasons for an answer that was cut off before it had any text."""
NOT_STARTED_RETRY_SECONDS = 1.0
"""How long a step waits if it could not start because the platform's database was unavailable."""


class StepPerformer:
    """Calls agents as the run's user, with the user's current authority.

    Every call of a step has the same idempotency key, so a recorded answer is not bought again. The answers of background executions are
    streamed, so that `live` shows them as they grow.
    """

    def __init__(
        self, executions: ExecutionService, authority: RunAuthority, retryable: Callable[[MeshError], bool], live: LiveTextWriter
    ) -> None:
        self._live = live
        self._executions = executions
        self._authority = authority
        self._retryable = retryable

    async def perform(self, assignment: Assignment, stop: StopSignal) -> Outcome:
        """Returns the outcome of the attempt. If `stop` is set, the call is cancelled and the attempt does not count."""
        correlation.adopt(assignment.request_id)
        try:
            caller.adopt(await self._authority.caller(assignment.principal))
            answered = await self._executions.execute(_work(assignment), assignment.timeout_seconds, stop, self._on_text(assignment))
        except MeshError as error:
            return self._outcome(error, assignment, stop)
        except Exception as error:
            log.exception(
                "step_failed_internally", run_id=str(assignment.lease_id.run_id), task_id=assignment.lease_id.task_id, exc_info=error
            )
            failure = Failure("INTERNAL", "the attempt failed with an internal error; report it with the request id", {}, False)
            return AttemptFailed(failure)
        return _answered(assignment, answered)

    async def settle_again(self, assignment: Assignment) -> bool:
        """Restores the settlement of the attempt's execution; see the dispatcher's port."""
        return await self._executions.settle_again(_step(assignment))

    def reported(self, assignment: Assignment) -> None:
        """Discards the kept settlement of the attempt's execution, and its live text."""
        self._executions.step_committed(_step(assignment))
        if assignment.background:
            self._live.end(_step(assignment), assignment.lease_id.epoch)

    def _on_text(self, assignment: Assignment) -> OnText | None:
        if not assignment.background:
            return None
        step, epoch, attempt = _step(assignment), assignment.lease_id.epoch, assignment.attempt

        def on_text(execution_id: UUID, piece: str) -> None:
            self._live.grow(step, LiveHead(epoch, attempt, execution_id), piece)

        return on_text

    def _outcome(self, error: MeshError, assignment: Assignment, stop: StopSignal) -> Outcome:
        if stop.is_set and error.reason == CallCancelled.reason:
            return HandedBack()
        if isinstance(error, ServiceUnavailable) and not isinstance(error, RemoteError):
            return HandedBack(NOT_STARTED_RETRY_SECONDS)
        failure = Failure(error.reason, error.message, dict(error.details), self._can_be_retried(error))
        if error.reason == AgentNotFound.reason:
            return AgentMissing(failure)
        if error.reason == INCOMPLETE and assignment.on_incomplete is OnIncomplete.USE and error.details.get("stop_reason") in _CUT_OFF:
            return Completed("")
        return AttemptFailed(failure, error.retry_after_seconds or 0.0, spread=random.uniform(0, RETRY_SPREAD))

    def _can_be_retried(self, error: MeshError) -> bool:
        # A policy that could not be evaluated has not denied the call.
        return self._retryable(error) or error.details.get("cause") == "policy_unavailable"


def _answered(assignment: Assignment, answered: Answered) -> Outcome:
    facts = answered.facts
    if facts is None or facts.stop_reason.complete or assignment.on_incomplete is OnIncomplete.USE:
        return Completed(answered.result)
    refused = facts.stop_reason is StopReason.REFUSAL
    cause = "the model refused to answer" if refused else f"the answer was cut off ({facts.stop_reason.value})"
    message = f"{cause}, and the task does not use incomplete answers; change the task, or set its on_incomplete to ON_INCOMPLETE_USE"
    details = {"stop_reason": facts.stop_reason.value, "execution_id": str(answered.execution_id)}
    return AttemptFailed(Failure(INCOMPLETE, message, details, retryable=False))


def _work(assignment: Assignment) -> Work:
    step = _step(assignment)
    return Work(
        user_id=assignment.principal.user_id,
        agent_id=assignment.agent_id,
        input=assignment.input if assignment.background else templates.render(assignment.input, assignment.results),
        context=assignment.context,
        request_id=assignment.request_id,
        idempotency_key=step.key,
        step=step,
    )


def _step(assignment: Assignment) -> StepRef:
    return StepRef(assignment.lease_id.run_id, assignment.lease_id.task_id)
