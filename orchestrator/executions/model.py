"""Executions and their records: intents, settlements, bills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from mesh.usage import TokenUsage
from orchestrator.executions.facts import AnswerFacts
from orchestrator.idempotency.model import Claim
from orchestrator.lifecycle.states import LifecycleState


class State(LifecycleState):
    """The state of an execution."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OUTCOME_UNKNOWN = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class StepRef:
    """The step of a workflow's run for which a call is made."""

    run_id: UUID
    task_id: str

    @property
    def key(self) -> str:
        """The idempotency key of the step's calls, so that a recorded answer is not bought again."""
        return f"{self.run_id}:{self.task_id}"


@dataclass(frozen=True, slots=True)
class Work:
    """A request to an agent."""

    user_id: int
    agent_id: str
    input: str
    context: Mapping[str, Any] | None
    request_id: str
    idempotency_key: str = ""
    """Empty for none."""
    step: StepRef | None = None
    """None for a call that the user makes directly. Steps and users have separate sets of idempotency keys."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens and their cost at the list prices of `price_table`."""

    usage: TokenUsage
    cost_micro_usd: int
    price_table: str


@dataclass(frozen=True, slots=True)
class Failure:
    reason: str
    message: str
    details: Mapping[str, str]
    retryable: bool


@dataclass(frozen=True, slots=True)
class Intent:
    """The record made before an agent is called. It counts at its worst-case cost until it is settled."""

    execution_id: UUID
    user_id: int
    agent_id: str
    agent_name: str
    agent_revision: str
    input: str
    context: Mapping[str, Any] | None
    streamed: bool
    request_id: str
    worst_case: Bill
    claim: Claim | None = None
    """The claim to the idempotency key, if the request has one."""
    step: StepRef | None = None
    api_key_id: UUID | None = None
    """The API key that made the call, or that started the step's run; None if an access token did."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an execution ended. `bill` is None if nothing was bought.

    `event_id` is the id of the event that reports it. It stays the same when the settlement is submitted again.
    """

    intent: Intent
    state: State
    result: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    bill: Bill | None = None
    seconds: float = 0.0
    facts: AnswerFacts | None = None
    """None if the model gave no answer, or if it is unknown how the answer came about."""
    event_id: UUID = field(default_factory=uuid7, compare=False)

    @property
    def frees_key(self) -> bool:
        """Whether the idempotency key may be used for a new attempt, because the same call can succeed later."""
        if self.state is State.FAILED:
            return self.failure is not None and self.failure.retryable
        return self.state in (State.CANCELLED, State.OUTCOME_UNKNOWN)


@dataclass(frozen=True, slots=True)
class Execution:
    """A recorded call to an agent. `bill` is None while it runs, and if nothing was bought."""

    execution_id: UUID
    user_id: int
    agent_id: str
    agent_name: str
    agent_revision: str
    state: State
    input: str
    context: Mapping[str, Any] | None
    result: str
    metadata: Mapping[str, Any]
    failure: Failure | None
    bill: Bill | None
    streamed: bool
    request_id: str
    seconds: float
    created_at: datetime
    finished_at: datetime | None
    facts: AnswerFacts | None = None
    result_characters: int = 0
    """Of the whole result, where it was read."""
    step: StepRef | None = None
    """The step for which the call was made; None for a direct call."""
    api_key_id: UUID | None = None
    """The API key with which the call was made; None if an access token was used."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a result: `limit` characters after the first `offset`; None for the whole result."""

    offset: int = 0
    limit: int | None = None


WHOLE = Excerpt()
"""The whole result, if it fits into a response."""
EVERYTHING = Excerpt(limit=2**31 - 1)
"""The whole result, of any size."""


@dataclass(frozen=True, slots=True)
class ExecutionQuery:
    """Which executions to list, newest first: those older than `before` that match every filter."""

    sees: int | None
    """The user whose executions are listed; None lists those of all users."""
    page_size: int
    before: UUID | None = None
    agent_id: str = ""
    state: State | None = None
    user_id: int | None = None
    api_key_id: UUID | None = None
    model: str = ""
    reason: str = ""
    """Why an execution did not complete: the reason of its failure, or its state in upper case."""
    begins: datetime | None = None
    """Only executions that ended at this time or later."""
    ends: datetime | None = None
    """Only executions that ended before this time."""


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """A list of executions without their texts."""

    executions: Sequence[Execution]
    next_before: UUID | None
    """The `before` of the next page; None on the last one."""

    @property
    def more(self) -> bool:
        """Whether more pages follow."""
        return self.next_before is not None


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """A complete answer from an agent."""

    text: str
    seconds: float
    metadata: Mapping[str, Any]
    usage: TokenUsage
    facts: AnswerFacts | None = None
    """None from an agent host of an earlier release."""
