"""What the engine gives to a worker, and what a worker says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import Bill, Failure
from orchestrator.identity.model import Principal
from orchestrator.workflows.model import OnIncomplete, StepState


class LeaseId(NamedTuple):
    """A step that a worker has. Its word about the step counts only while the step's epoch is this one."""

    run_id: UUID
    task_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """A step to do, and on whose behalf."""

    lease_id: LeaseId
    attempt: int
    agent_id: str
    input: str
    """With its references to earlier results as the user wrote them."""
    results: Mapping[str, str]
    """What the tasks to which the input refers have answered."""
    context: Mapping[str, Any] | None
    timeout_seconds: float
    principal: Principal
    """The run's user, and the API key that started the run."""
    request_id: str
    on_incomplete: OnIncomplete = OnIncomplete.FAIL


@dataclass(frozen=True, slots=True)
class Completed:
    """The agent has answered."""

    result: str


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The attempt failed. A retry waits at least `retry_after_seconds`."""

    failure: Failure
    retry_after_seconds: float = 0.0
    spread: float = 0.0
    """The part of the wait by which it is lengthened, so that steps that failed together do not come back together."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The attempt did not take place, or was ended by us: it does not count, and the step may be taken again after a while."""

    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentMissing:
    """The catalogue does not have the step's agent: perhaps its file is just being replaced. The attempt does not count."""

    failure: Failure
    """Why the step fails if the agent stays away."""


Outcome = Completed | AttemptFailed | HandedBack | AgentMissing


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an assignment. `go_on` asks for a successor that has become ready, to be done at once."""

    lease_id: LeaseId
    outcome: Outcome
    go_on: bool
    settled: bool = True
    """Whether the step's execution has been settled as the outcome says. False counts the outcome without comparing the two."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What came of a report. `counted` is False when the step is not the worker's any more."""

    counted: bool
    state: StepState | None = None
    """Where the step stands now."""
    following: Assignment | None = None
    others_ready: bool = False
    """Steps have become ready that nobody has taken."""
    retry_in_seconds: float | None = None
    """When the step itself will be ready again; None when it will not."""
    unsettled: bool = False
    """The report does not count, because the settlement of the step's execution is not in the database."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The steps that a worker got."""

    assignments: Sequence[Assignment]
    more: bool
    """Whether other steps may be ready to be claimed at once."""
    limited: bool = False
    """Whether steps wait until another step of the same user ends."""
    refill_in_seconds: float | None = None
    """When a user who has no token now gets one; None without such a user."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the books say of a step: the execution of its last attempt, and what all its attempts bought."""

    execution_id: UUID | None = None
    agent_revision: str = ""
    bill: Bill | None = None
    last_bill: Bill | None = None
    """Of the last attempt alone."""
    facts: AnswerFacts | None = None
    """Of the last attempt alone."""
    answered: bool = False
    """Whether the answer of the last attempt is recorded: whoever takes the step over finds it, and calls nobody."""
    running: bool = False
    """Whether an execution of the step is not settled."""
