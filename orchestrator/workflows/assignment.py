"""The messages between the engine and a worker: assignments and reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import Bill, Failure
from orchestrator.identity.model import Principal
from orchestrator.workflows.model import OnIncomplete, StepState


class LeaseId(NamedTuple):
    """Identifies a worker's lease of a step. The worker's reports count only while the step has this epoch."""

    run_id: UUID
    task_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """A step for a worker to run, and the principal on whose behalf it runs."""

    lease_id: LeaseId
    attempt: int
    agent_id: str
    input: str
    """As the user wrote it, with references to earlier results."""
    results: Mapping[str, str]
    """The results of the tasks to which the input refers."""
    context: Mapping[str, Any] | None
    timeout_seconds: float
    principal: Principal
    """The run's user, and the API key that started the run."""
    request_id: str
    on_incomplete: OnIncomplete = OnIncomplete.FAIL
    background: bool = False
    """Whether the step is a background execution: references have no meaning in its input, and its text is shown as it grows."""


@dataclass(frozen=True, slots=True)
class Completed:
    result: str


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The attempt failed. The next one waits at least `retry_after_seconds`."""

    failure: Failure
    retry_after_seconds: float = 0.0
    spread: float = 0.0
    """The fraction by which the wait is lengthened, so that steps that failed together are not retried together."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The attempt did not start, or the worker ended it. It does not count, and the step may be claimed again after `delay_seconds`."""

    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentMissing:
    """The catalogue does not have the step's agent, perhaps because its file is being replaced. The attempt does not count."""

    failure: Failure
    """The failure of the step if the agent does not return."""


Outcome = Completed | AttemptFailed | HandedBack | AgentMissing


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of an assignment. `take_successor` asks for a successor that has become ready, to run it at once."""

    lease_id: LeaseId
    outcome: Outcome
    take_successor: bool
    settled: bool = True
    """Whether the step's execution is settled with this outcome. If False, the store accepts the outcome without comparing the two."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The answer to a report. `counted` is False if the worker no longer holds the step."""

    counted: bool
    state: StepState | None = None
    """The state of the step now."""
    following: Assignment | None = None
    others_ready: bool = False
    """Whether steps have become ready that no worker has claimed."""
    retry_in_seconds: float | None = None
    """When the step will be ready again; None if it is not retried."""
    unsettled: bool = False
    """Whether the report was rejected because the settlement of the step's execution is missing in the database."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of a claim."""

    assignments: Sequence[Assignment]
    more: bool
    """Whether more steps may be ready to claim now."""
    limited: bool = False
    """Whether steps wait until another step of the same user ends."""
    refill_in_seconds: float | None = None
    """When the first user without a token gets one; None if no user lacks tokens."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the books record of a step: the execution of its last attempt, and the bill of all its attempts."""

    execution_id: UUID | None = None
    agent_revision: str = ""
    bill: Bill | None = None
    last_bill: Bill | None = None
    """Only of the last attempt."""
    facts: AnswerFacts | None = None
    """Only of the last attempt."""
    answered: bool = False
    """Whether the answer of the last attempt is recorded. A worker that takes over the step uses it and does not call the agent."""
    running: bool = False
    """Whether an execution of the step is still unsettled."""
