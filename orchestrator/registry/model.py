"""What the registry says about agents."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from catalogue.model import AgentDefinition


@dataclass(frozen=True, slots=True)
class ListedAgent:
    """An agent, the model that answers for it and the port where it lives."""

    definition: AgentDefinition
    model: str
    port: int


class HealthState(StrEnum):
    """What an agent said when it was asked."""

    SERVING = "serving"
    NOT_SERVING = "not_serving"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """How an agent was when it was asked; `latency_seconds` is 0 when it did not answer."""

    agent_id: str
    state: HealthState
    port: int
    latency_seconds: float
    checked_at: datetime
