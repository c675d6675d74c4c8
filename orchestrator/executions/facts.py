"""How an answer came about: the domain type of the contracts' message AnswerFacts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class StopReason(StrEnum):
    """Why the model stopped. The values are stored in the database."""

    UNSPECIFIED = "unspecified"
    """The provider gave a reason that this release does not know. `stop_detail` contains it."""
    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    REFUSAL = "refusal"
    CONTEXT_WINDOW = "context_window"
    TOOL_USE = "tool_use"
    PAUSE_TURN = "pause_turn"
    LIMIT = "limit"

    @property
    def complete(self) -> bool:
        """Whether the model finished its answer."""
        return self not in _INCOMPLETE


_INCOMPLETE = frozenset({StopReason.MAX_TOKENS, StopReason.REFUSAL, StopReason.CONTEXT_WINDOW, StopReason.TOOL_USE, StopReason.PAUSE_TURN})


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """How an answer came about. Fields that are not known are empty."""

    provider: str = ""
    model: str = ""
    stop_reason: StopReason = StopReason.UNSPECIFIED
    stop_detail: str = ""
    """The provider's own term, where `stop_reason` is less precise."""
    agent_revision: str = ""
    turns: int = 1
    redacted: Mapping[str, int] = field(default_factory=dict)
    """How many passages the output guardrails redacted, by rule."""
