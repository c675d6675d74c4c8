"""The errors of workflows and runs.

MeshError
├── WorkflowNotFound         WORKFLOW_NOT_FOUND
├── RunNotFound              RUN_NOT_FOUND
├── WorkflowAlreadyRunning   WORKFLOW_ALREADY_RUNNING
├── WorkflowNotRunning       WORKFLOW_NOT_RUNNING
├── RunNotActive             RUN_NOT_ACTIVE
├── StepNotFound             STEP_NOT_FOUND
├── ResultsTooLarge          PAYLOAD_TOO_LARGE
└── ApprovalNotPending       APPROVAL_NOT_PENDING
"""

from mesh.errors import AnswerTooLarge, MeshError


class ReportRefused(Exception):
    """The store rejects a worker's report, and a retry would not help. Callers never see this error."""


class WorkflowNotFound(MeshError):
    """The workflow does not exist or belongs to another user."""

    reason = "WORKFLOW_NOT_FOUND"


class RunNotFound(MeshError):
    """The run does not exist or belongs to another user."""

    reason = "RUN_NOT_FOUND"


class WorkflowAlreadyRunning(MeshError):
    """The workflow already has an active run."""

    reason = "WORKFLOW_ALREADY_RUNNING"


class WorkflowNotRunning(MeshError):
    """The workflow has no active run."""

    reason = "WORKFLOW_NOT_RUNNING"


class RunNotActive(MeshError):
    """The run has ended."""

    reason = "RUN_NOT_ACTIVE"


class StepNotFound(MeshError):
    """The run has no such step."""

    reason = "STEP_NOT_FOUND"


class ResultsTooLarge(AnswerTooLarge):
    """The results do not fit into one response."""

    reason = "PAYLOAD_TOO_LARGE"


class ApprovalNotPending(MeshError):
    """The step does not wait for a decision, or no longer does."""

    reason = "APPROVAL_NOT_PENDING"
