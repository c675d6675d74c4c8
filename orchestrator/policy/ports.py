"""The ports of the policy."""

from typing import Protocol

from mesh.security.caller import Caller
from orchestrator.policy.model import Denial, Question


class Policy(Protocol):
    """Evaluates the rules. An implementation may remember a grant for up to one second, and never a denial."""

    async def allows(self, question: Question) -> bool:
        """Whether the policy answers exactly `true`. Raises PolicyUnavailable if it gives no decision."""
        ...

    async def denial(self, question: Question) -> Denial | None:
        """The rule that denies the question; None if the policy names none. Raises PolicyUnavailable."""
        ...


class DenialLog(Protocol):
    """Records who was denied what, and what administrators did to other users' objects."""

    def denied(self, who: Caller, what: str, rule: str) -> None:
        """Records a denial; never waits or raises."""
        ...

    def administered(self, who: Caller, what: str, owner_id: int) -> None:
        """Records that an administrator changed an object of another user; never waits or raises."""
        ...
