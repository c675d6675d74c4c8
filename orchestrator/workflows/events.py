"""The events of workflows and runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.workflows.model import Run, Step


@dataclass(frozen=True, slots=True)
class WorkflowEvent:
    """An event of a run. `data` is the free-form part of the envelope."""

    run: Run
    event_type: str
    data: Mapping[str, Any]

    @property
    def aggregate_id(self) -> str:
        """The workflow, whose events are thereby published in order; the run itself if it has none."""
        return str(self.run.workflow_id or self.run.run_id)


def started(run: Run, task_count: int) -> WorkflowEvent:
    """`workflow.started`."""
    return _event(run, "workflow.started", task_count=task_count)


def completed(run: Run, steps: Sequence[Step]) -> WorkflowEvent:
    """`workflow.completed`. The summary has the attempts and the cost of each task but not its result, which only the owner may see."""
    summary = [
        {"task_id": step.task_id, "attempts": step.attempts, "cost_micro_usd": step.bill.cost_micro_usd if step.bill else 0}
        for step in steps
    ]
    return _event(run, "workflow.completed", duration=_seconds(run), results_summary=summary)


def failed(run: Run) -> WorkflowEvent:
    """`workflow.failed`."""
    failure = run.failure
    assert failure is not None
    return _event(
        run,
        "workflow.failed",
        failed_step=run.failed_task,
        error_message=failure.message,
        reason=failure.reason,
        duration=_seconds(run),
    )


def cancelled(run: Run) -> WorkflowEvent:
    """`workflow.cancelled`."""
    return _event(run, "workflow.cancelled", duration=_seconds(run), stopped_steps=[step.task_id for step in run.stopped_steps])


def approval_requested(run: Run, step: Step) -> WorkflowEvent:
    """`workflow.approval_requested`."""
    approval = step.approval
    assert approval is not None
    assert approval.expires_at is not None
    return _event(
        run,
        "workflow.approval_requested",
        step_id=step.task_id,
        message=approval.message,
        expires_at=approval.expires_at.isoformat(),
        default_decision=approval.default.value,
    )


def _event(run: Run, event_type: str, **data: Any) -> WorkflowEvent:
    about = {"workflow_id": str(run.workflow_id or ""), "run_id": str(run.run_id), "user_id": run.user_id}
    return WorkflowEvent(run, event_type, {**about, **data})


def _seconds(run: Run) -> float:
    assert run.finished_at is not None
    return round((run.finished_at - run.created_at).total_seconds(), 6)
