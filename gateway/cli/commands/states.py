"""Options that name a state: `--status running` for RUN_STATUS_RUNNING."""

from typing import Any

import typer

from gateway.cli.errors import CliError
from gateway.cli.exits import Exit

STATES = {
    "WorkflowStatus": ("pending", "running", "waiting-approval", "cancelling", "completed", "failed", "cancelled"),
    "RunStatus": ("pending", "running", "waiting-approval", "cancelling", "completed", "failed", "cancelled"),
    "ExecutionStatus": ("running", "completed", "failed", "cancelled", "outcome-unknown"),
}
"""Written here because the enums load gRPC's runtime, which --help does not need; a test compares them."""


def state_option(enum: str) -> Any:
    """The option `--status`."""
    words = STATES[enum]
    return typer.Option("--status", help=f"Only these: {', '.join(words)}.", metavar="STATE", autocompletion=lambda: list(words))


def state_number(enum: str, word: str) -> Any:
    """The number of a state; 0 for none. Raises CliError for an unknown word."""
    from agentmesh.execution.v1 import execution_pb2
    from agentmesh.workflow.v1 import workflow_pb2

    if not word:
        return 0
    if word not in STATES[enum]:
        raise CliError(f"invalid --status '{word}'", f"use one of {', '.join(STATES[enum])}", Exit.USAGE)
    module = execution_pb2 if enum == "ExecutionStatus" else workflow_pb2
    prefix = {"WorkflowStatus": "WORKFLOW_STATUS_", "RunStatus": "RUN_STATUS_", "ExecutionStatus": "EXECUTION_STATUS_"}[enum]
    return getattr(module, prefix + word.replace("-", "_").upper())
