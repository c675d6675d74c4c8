"""The events about executions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.executions.model import Settlement


@dataclass(frozen=True, slots=True)
class EventContent:
    """The free-form parts of an event's envelope."""

    data: Mapping[str, Any]
    metadata: Mapping[str, Any]


def agent_executed(settlement: Settlement) -> EventContent:
    """`agent.executed`: the agent, the execution and its cost."""
    intent = settlement.intent
    return content(
        execution_id=str(intent.execution_id),
        agent_id=intent.agent_id,
        user_id=intent.user_id,
        duration=settlement.seconds,
        status=settlement.state.value,
        cost_micro_usd=settlement.bill.cost_micro_usd if settlement.bill else 0,
        request_id=intent.request_id,
    )


def content(
    *, execution_id: str, agent_id: str, user_id: int, duration: float, status: str, cost_micro_usd: int, request_id: str
) -> EventContent:
    """The content of `agent.executed` from its fields. `duration` is in seconds."""
    data = {
        "execution_id": execution_id,
        "agent_id": agent_id,
        "user_id": user_id,
        "duration": round(duration, 6),
        "status": status,
        "cost_micro_usd": cost_micro_usd,
    }
    return EventContent(data, {"request_id": request_id})
