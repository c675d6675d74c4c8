"""Claims to idempotency keys, and the requests that hold them."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from mesh.errors import IdempotencyConflict


class Operation(StrEnum):
    """The operation that a key makes idempotent. Keys are unique per user and operation."""

    EXECUTE_AGENT = "execution.v1.ExecuteAgent"
    RUN_STEP = "workflow.step"
    """Separate from the operations of callers, so that no caller can take a step's key."""
    CREATE_WORKFLOW = "workflow.v1.CreateWorkflow"
    EXECUTE_WORKFLOW = "workflow.v1.ExecuteWorkflow"
    START_AGENT = "workflow.v1.StartAgent"
    CREATE_API_KEY = "identity.v1.CreateApiKey"

    @property
    def retention(self) -> timedelta:
        """How long a key is kept. A step may wait more than a day for its next attempt."""
        return timedelta(days=90) if self is Operation.RUN_STEP else timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Claim:
    """A request's claim to an idempotency key."""

    user_id: int
    operation: Operation
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class OriginalRequest:
    """The request that holds a key: the resource that it made, and the hash of its body."""

    resource_id: UUID
    body_hash: bytes

    def check(self, claim: Claim) -> None:
        """Raises IdempotencyConflict if the claim belongs to a request with a different body."""
        if self.body_hash != claim.body_hash:
            raise IdempotencyConflict.of(claim.key)


def claim(user_id: int, operation: Operation, key: str, body: object) -> Claim | None:
    """The claim of a request with this body, which may be any JSON value. None if the key is empty."""
    return Claim(user_id, operation, key, body_hash(body)) if key else None


def body_hash(body: object) -> bytes:
    """SHA-256 of the body as JSON. The order of keys in objects does not matter."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).digest()
