"""How an answer came about: what is typed in AnswerFacts of the contracts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class StopReason(StrEnum):
    """Why the model stopped writing. The values are those of the database."""

    UNSPECIFIED = "unspecified"
    """The provider gave a reason that this release does not know; `stop_detail` has it."""
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
        """Whether the model said everything that it wanted to say."""
        return self not in _INCOMPLETE


_INCOMPLETE = frozenset({StopReason.MAX_TOKENS, StopReason.REFUSAL, StopReason.CONTEXT_WINDOW, StopReason.TOOL_USE, StopReason.PAUSE_TURN})


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """How an answer came about. Fields that are not known are empty."""

    provider: str = ""
    model: str = ""
    stop_reason: StopReason = StopReason.UNSPECIFIED
    stop_detail: str = ""
    """The provider's own word for it where `stop_reason` says less."""
    agent_revision: str = ""
    turns: int = 1
    redacted: Mapping[str, int] = field(default_factory=dict)
    """How many passages the output guardrails redacted, by rule."""
