"""The names of the texts in Redis, and the head that each begins with."""

from uuid import UUID

from orchestrator.executions.model import StepRef
from orchestrator.workflows.live.model import LiveHead

WIDTH = 56
"""Bytes of a head."""


def key(step: StepRef) -> str:
    return f"agentmesh:live:{step.run_id}:{step.task_id}"


def pack(head: LiveHead) -> bytes:
    """Packs a head into WIDTH bytes. The epochs of packed heads compare like strings."""
    return f"{head.epoch:010d} {head.attempt:06d} {head.execution_id} {head.truncated:d}".encode()


def unpack(packed: bytes) -> LiveHead | None:
    """Unpacks a head; None for one that another release has written."""
    try:
        epoch, attempt, execution_id, truncated = packed.decode().split(" ")
        return LiveHead(int(epoch), int(attempt), UUID(execution_id), truncated == "1")
    except ValueError:
        return None
