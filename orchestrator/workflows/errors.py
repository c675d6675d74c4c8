"""What can go wrong with workflows and runs.

MeshError
├── WorkflowNotFound         WORKFLOW_NOT_FOUND
├── RunNotFound              RUN_NOT_FOUND
├── WorkflowAlreadyRunning   WORKFLOW_ALREADY_RUNNING
├── WorkflowNotRunning       WORKFLOW_NOT_RUNNING
└── ApprovalNotPending       APPROVAL_NOT_PENDING
"""

from mesh.errors import MeshError


class ReportRefused(Exception):
    """The store will not take a worker's word, and would not if it were said again. No caller ever sees it."""


class WorkflowNotFound(MeshError):
    """The caller has no such workflow."""

    reason = "WORKFLOW_NOT_FOUND"


class RunNotFound(MeshError):
    """The caller has no such run."""

    reason = "RUN_NOT_FOUND"


class WorkflowAlreadyRunning(MeshError):
    """A run of the workflow is active."""

    reason = "WORKFLOW_ALREADY_RUNNING"


class WorkflowNotRunning(MeshError):
    """No run of the workflow is active."""

    reason = "WORKFLOW_NOT_RUNNING"


class ApprovalNotPending(MeshError):
    """The step does not wait for a decision, or does not any more."""

    reason = "APPROVAL_NOT_PENDING"
