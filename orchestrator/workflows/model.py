"""Workflows, runs and steps as the platform keeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import Bill, Failure
from orchestrator.identity.model import Principal


class RunState(StrEnum):
    """Where a run, and the workflow whose latest it is, stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether it never changes again."""
        return self in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


class StepState(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    WAITING_APPROVAL = "waiting_approval"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether it never changes again."""
        return self in (StepState.COMPLETED, StepState.FAILED, StepState.CANCELLED)


class Decision(StrEnum):
    """What a person decided about a step."""

    APPROVED = "approved"
    REJECTED = "rejected"


class OnIncomplete(StrEnum):
    """What happens to a step whose answer the model refused or that was cut off."""

    FAIL = "fail"
    USE = "use"


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a failed attempt is tried again, if its failure is retryable."""

    max_attempts: int = 4
    delay_seconds: float = 30.0
    backoff: float = 1.0


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to a person before a task begins, and what silence means."""

    message: str
    timeout_seconds: int = 86_400
    default: Decision = Decision.REJECTED


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work in a workflow."""

    id: str
    agent_id: str
    input: str
    context: Mapping[str, Any] | None = None
    depends_on: Sequence[str] = ()
    """As the user gave it; `graph.predecessors` says what it means."""
    retry: Retry = Retry()
    timeout_seconds: int = 120
    approval: Approval | None = None
    on_incomplete: OnIncomplete = OnIncomplete.FAIL


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What the agent of a task answered."""

    task_id: str
    result: str


class View(StrEnum):
    """How much of a run or a workflow to read."""

    FITTING = "fitting"
    """Everything if the results have at most 1 MiB in total, otherwise as BASIC."""
    BASIC = "basic"
    """Everything except the results."""
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Workflow:
    """A named graph of tasks. In lists `tasks` and `results` are empty."""

    workflow_id: UUID
    user_id: int
    name: str
    state: RunState
    task_count: int
    created_at: datetime
    latest_run_id: UUID | None = None
    tasks: Sequence[Task] = ()
    results: Sequence[TaskResult] = ()
    """Of the latest run, in the order of the tasks."""
    results_omitted: bool = False
    """Whether the view left results out."""


@dataclass(frozen=True, slots=True)
class StepApproval:
    """What is asked before a step, and what became of it. `decided_by` is 0 when nobody decided in time."""

    message: str
    timeout_seconds: int
    default: Decision
    decision: Decision | None = None
    decided_by: int = 0
    decided_at: datetime | None = None
    expires_at: datetime | None = None
    """None before the step's turn has come."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A task inside a run. `bill` is what all its attempts bought together, None for nothing."""

    task_id: str
    agent_id: str
    state: StepState
    attempts: int = 0
    agent_revision: str = ""
    execution_id: UUID | None = None
    result: str = ""
    result_bytes: int = 0
    """The size of the result in UTF-8, also where the result itself was not read."""
    failure: Failure | None = None
    bill: Bill | None = None
    facts: AnswerFacts | None = None
    """Of the last attempt; None before a model has answered."""
    approval: StepApproval | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    next_attempt_at: datetime | None = None
    """Only of a READY step that has been tried before."""


@dataclass(frozen=True, slots=True)
class StoppedStep:
    """A step that a cancellation stopped while it ran."""

    task_id: str
    execution_id: UUID | None
    bill: Bill | None
    output_tokens_after_request: int
    """At most so many: all that the stopped call bought."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a workflow. In lists and in its changes `steps` is empty."""

    run_id: UUID
    workflow_id: UUID
    user_id: int
    state: RunState
    sequence: int
    request_id: str
    created_at: datetime
    failure: Failure | None = None
    failed_task: str = ""
    cancel_requested_at: datetime | None = None
    stopped_steps: Sequence[StoppedStep] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    api_key_id: UUID | None = None
    """The API key with which it was started; None for an access token."""
    steps: Sequence[Step] = ()
    results_omitted: bool = False
    """Whether the steps have results that were not read."""

    @property
    def principal(self) -> Principal:
        """On whose behalf its steps run."""
        return Principal(self.user_id, self.api_key_id)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a run, in the order of `sequence` (1, 2, 3, …): what `subject`, a run or a step of it, had become."""

    run_id: UUID
    sequence: int
    subject: Run | Step


@dataclass(frozen=True, slots=True)
class NewWorkflow:
    """A workflow to be made."""

    workflow_id: UUID
    user_id: int
    name: str
    tasks: Sequence[Task]


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be started. `tasks` are the workflow's, with `depends_on` as it is meant: `graph.predecessors`."""

    run_id: UUID
    workflow_id: UUID
    user_id: int
    username: str
    role: str
    request_id: str
    tasks: Sequence[Task]
    api_key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class WorkflowQuery:
    """Which workflows to list, newest first: those of a user (None: everybody's) before `before`, perhaps in one state."""

    user_id: int | None
    page_size: int
    before: UUID | None = None
    state: RunState | None = None


@dataclass(frozen=True, slots=True)
class WorkflowPage:
    """Workflows without tasks and results, and whether there are more."""

    workflows: Sequence[Workflow]
    more: bool


@dataclass(frozen=True, slots=True)
class StepDetails:
    """A step with its whole result, and what its agent was sent."""

    run: Run
    """Without its steps."""
    step: Step
    input: str
    """As the task has it, with its references."""
    context: Mapping[str, Any] | None
    waits: bool
    """Whether an earlier step is not completed."""
    results: Mapping[str, str]
    """The results of the tasks to which the input refers."""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list, newest first: those of a user (None: everybody's) before `before`, of one workflow, state or agent."""

    user_id: int | None
    page_size: int
    before: UUID | None = None
    workflow_id: UUID | None = None
    state: RunState | None = None
    agent_id: str = ""


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs without their steps, and whether there are more."""

    runs: Sequence[Run] = field(default_factory=tuple)
    more: bool = False
