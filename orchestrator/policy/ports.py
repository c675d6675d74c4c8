"""What permissions need of the world."""

from typing import Protocol

from mesh.security.caller import Caller
from orchestrator.policy.model import Denial, Question


class Policy(Protocol):
    """Evaluates the rules. Nothing is remembered: a changed rule counts from the next question on."""

    async def allows(self, question: Question) -> bool:
        """Whether the policy says exactly `true`. Raises PolicyUnavailable when it gives no decision."""
        ...

    async def denial(self, question: Question) -> Denial | None:
        """The rule that denies it; None when the policy names none. Raises PolicyUnavailable."""
        ...


class DenialLog(Protocol):
    """Remembers who was denied what."""

    def denied(self, who: Caller, what: str, rule: str) -> None:
        """Takes note; neither waits nor raises."""
        ...
