"""Workflows, runs and steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import Bill, Failure
from orchestrator.identity.model import Principal
from orchestrator.lifecycle.states import LifecycleState


class RunState(LifecycleState):
    """The state of a run, and of the workflow whose latest run it is."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepState(LifecycleState):
    PENDING = "pending"
    WAITING_APPROVAL = "waiting_approval"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Decision(StrEnum):
    """A person's decision about a step."""

    APPROVED = "approved"
    REJECTED = "rejected"


class OnIncomplete(StrEnum):
    """How a step treats an answer that the model refused to give or that was cut off."""

    FAIL = "fail"
    USE = "use"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and after which delay a retryable failure is retried."""

    max_attempts: int = 4
    delay_seconds: float = 30.0
    backoff: float = 1.0


@dataclass(frozen=True, slots=True)
class Approval:
    """Asks a person before a task begins. `default` applies if there is no decision in time."""

    message: str
    timeout_seconds: int = 86_400
    default: Decision = Decision.REJECTED


@dataclass(frozen=True, slots=True)
class Task:
    """One call of an agent in a workflow."""

    id: str
    agent_id: str
    input: str
    context: Mapping[str, Any] | None = None
    depends_on: Sequence[str] = ()
    """As the user wrote it; see `graph.predecessors`."""
    retry: Retry = Retry()
    timeout_seconds: int = 120
    approval: Approval | None = None
    on_incomplete: OnIncomplete = OnIncomplete.FAIL


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The answer of a task's agent."""

    task_id: str
    result: str


class View(StrEnum):
    """How much of a run or a workflow to read."""

    FITTING = "fitting"
    """Everything if the results have at most 1 MiB in total; otherwise the same as BASIC."""
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
    """The results of the latest run, in the order of the tasks."""
    results_omitted: bool = False
    """Whether the view left results out."""


@dataclass(frozen=True, slots=True)
class StepApproval:
    """The approval of a step and its decision. `decided_by` is 0 if there was no decision in time."""

    message: str
    timeout_seconds: int
    default: Decision
    decision: Decision | None = None
    decided_by: int = 0
    decided_at: datetime | None = None
    expires_at: datetime | None = None
    """None until the step waits for the approval."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A task inside a run. `bill` is the total of all its attempts; None if they bought nothing."""

    task_id: str
    agent_id: str
    state: StepState
    attempts: int = 0
    agent_revision: str = ""
    execution_id: UUID | None = None
    result: str = ""
    result_bytes: int = 0
    """The size of the result in UTF-8, even if the result itself was not read."""
    failure: Failure | None = None
    bill: Bill | None = None
    facts: AnswerFacts | None = None
    """The facts of the last attempt; None until a model has answered."""
    approval: StepApproval | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    next_attempt_at: datetime | None = None
    """Set only for a READY step that has been attempted before."""


@dataclass(frozen=True, slots=True)
class StoppedStep:
    """A running step that a cancellation stopped."""

    task_id: str
    execution_id: UUID | None
    bill: Bill | None
    output_tokens_after_request: int
    """An upper bound: all output tokens of the stopped call."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a workflow, or a background execution of one agent. `steps` is empty in lists and in changes."""

    run_id: UUID
    workflow_id: UUID | None
    """None for a background execution."""
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
    """The API key that started the run; None if an access token did."""
    agent_id: str = ""
    """The agent of a background execution; empty for a run of a workflow."""
    steps: Sequence[Step] = ()
    results_omitted: bool = False
    """Whether the view left out results of the steps."""

    @property
    def principal(self) -> Principal:
        """The principal on whose behalf the steps run."""
        return Principal(self.user_id, self.api_key_id)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a run: the new value of `subject`, which is the run or one of its steps. `sequence` counts from 1."""

    run_id: UUID
    sequence: int
    subject: Run | Step


@dataclass(frozen=True, slots=True)
class NewWorkflow:
    """A workflow to create."""

    workflow_id: UUID
    user_id: int
    name: str
    tasks: Sequence[Task]


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to start.

    `tasks` are the workflow's, with `depends_on` set to `graph.predecessors`. A background execution has one task and no workflow.
    """

    run_id: UUID
    workflow_id: UUID | None
    user_id: int
    username: str
    role: str
    request_id: str
    tasks: Sequence[Task]
    api_key_id: UUID | None = None

    @property
    def agent_id(self) -> str:
        """The agent of a background execution; empty for a run of a workflow."""
        return self.tasks[0].agent_id if self.workflow_id is None else ""


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """A step that waits for a decision. Its `approval` is set and has an expiry."""

    run_id: UUID
    task_id: str
    agent_id: str
    user_id: int
    workflow_id: UUID | None
    workflow_name: str
    approval: StepApproval
    expires_at: datetime
    run_created_at: datetime

    @property
    def place(self) -> "ApprovalPlace":
        """Where it comes in lists."""
        return ApprovalPlace(self.expires_at, self.run_id, self.task_id)


class ApprovalPlace(NamedTuple):
    """A place in the order of pending approvals."""

    expires_at: datetime
    run_id: UUID
    task_id: str


@dataclass(frozen=True, slots=True)
class ApprovalQuery:
    """Selects pending approvals in the order of their expiry: those of a user (None: all users) after `after`."""

    user_id: int | None
    page_size: int
    after: ApprovalPlace | None = None


@dataclass(frozen=True, slots=True)
class ApprovalPage:
    approvals: Sequence[PendingApproval]
    more: bool


@dataclass(frozen=True, slots=True)
class WorkflowQuery:
    """Selects workflows, newest first: those of a user (None: all users) before `before`, optionally in one state."""

    user_id: int | None
    page_size: int
    before: UUID | None = None
    state: RunState | None = None


@dataclass(frozen=True, slots=True)
class WorkflowPage:
    """A page of workflows without tasks and results."""

    workflows: Sequence[Workflow]
    more: bool


@dataclass(frozen=True, slots=True)
class StepDetails:
    """A step with its result, or a part of it, and the input of its agent."""

    run: Run
    """Without its steps."""
    step: Step
    input: str
    """As the user wrote it, with its references."""
    context: Mapping[str, Any] | None
    waits: bool
    """Whether an earlier step has not completed."""
    results: Mapping[str, str]
    """The results of the tasks to which the input refers, as far as an input can use them."""
    result_characters: int = 0
    """Of the whole result."""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Selects runs, newest first: those of a user (None: all users) before `before`, optionally of one workflow, state or agent."""

    user_id: int | None
    page_size: int
    before: UUID | None = None
    workflow_id: UUID | None = None
    state: RunState | None = None
    agent_id: str = ""


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of runs without their steps."""

    runs: Sequence[Run] = field(default_factory=tuple)
    more: bool = False
