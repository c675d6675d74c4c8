"""What permissions need of the world."""

from typing import Protocol

from orchestrator.policy.model import Denial, Question


class Policy(Protocol):
    """Evaluates the rules. Nothing is remembered: a changed rule counts from the next question on."""

    async def allows(self, question: Question) -> bool:
        """Whether the policy says exactly `true`. Raises PolicyUnavailable when it gives no decision."""
        ...

    async def denial(self, question: Question) -> Denial | None:
        """The rule that denies it; None when the policy names none. Raises PolicyUnavailable."""
        ...
