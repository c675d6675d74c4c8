"""The failures of steps that the engine itself decides."""

from orchestrator.executions.model import Failure
from orchestrator.workflows.model import StepApproval


def keeps_crashing(crashes: int) -> Failure:
    message = f"the step's worker crashed {crashes} times while it ran the step; check the task's input and the worker's log"
    return Failure("AGENT_EXECUTION_FAILED", message, {"crashes": str(crashes)}, retryable=False)


def rejected(approval: StepApproval) -> Failure:
    if approval.decided_by:
        message, cause = f"user {approval.decided_by} rejected the step", "approval_rejected"
    else:
        message, cause = (
            f"no decision on the step was made within {approval.timeout_seconds} s, and its task rejects by default; start the run again",
            "approval_timeout",
        )
    return Failure("POLICY_DENIED", message, {"cause": cause}, retryable=False)
