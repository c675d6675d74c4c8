"""What can go wrong with workflows and runs.

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


class RunNotActive(MeshError):
    """The run is over."""

    reason = "RUN_NOT_ACTIVE"


class StepNotFound(MeshError):
    """The run has no such step."""

    reason = "STEP_NOT_FOUND"


class ResultsTooLarge(MeshError):
    """The results do not fit into one response."""

    reason = "PAYLOAD_TOO_LARGE"


class ApprovalNotPending(MeshError):
    """The step does not wait for a decision, or does not any more."""

    reason = "APPROVAL_NOT_PENDING"
