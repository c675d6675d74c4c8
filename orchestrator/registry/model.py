"""Listed agents and their health."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from catalogue.model import AgentDefinition


@dataclass(frozen=True, slots=True)
class ListedAgent:
    """An agent, the model that it uses and the port that serves it."""

    definition: AgentDefinition
    model: str
    port: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of an agent in the last 30 days: how many executions ended, the share that completed, and medians."""

    calls: int
    completed_share: float
    seconds_p50: float
    micro_usd_p50: int


class AgentOrder(StrEnum):
    """The order of a list of agents. Without a search, relevance is the order of their numbers."""

    RELEVANCE = "relevance"
    NAME = "name"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class AgentQuery:
    """Which agents to list. Empty filters admit every agent; an agent must have all of `tags`."""

    search: str = ""
    category: str = ""
    role: str = ""
    tags: frozenset[str] = frozenset()
    order: AgentOrder = AgentOrder.RELEVANCE
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class FacetCount:
    """A category, role or tag, and how many agents have it."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """The values of each facet, the most frequent first."""

    categories: Sequence[FacetCount] = ()
    roles: Sequence[FacetCount] = ()
    tags: Sequence[FacetCount] = ()


@dataclass(frozen=True, slots=True)
class AgentPage:
    """A page of agents, how many match in all, and the nearest agents when a search matches none."""

    agents: Sequence[ListedAgent]
    total: int
    facets: Facets = field(default_factory=Facets)
    nearest: Sequence[ListedAgent] = ()
    measured: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rough estimate of a call: the cost of a typical and of the longest answer in micro-dollars, and the seconds of a typical call."""

    cost_micro_usd: int
    max_cost_micro_usd: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An agent for a piece of work, with a score of 0 to 1 and a reason that consists of facts."""

    agent: ListedAgent
    score: float
    reason: str
    matching_tasks: Sequence[str]
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Recommendations:
    """The best agents first. With `no_fit`, none is made for the work, and these are the nearest."""

    items: Sequence[Recommendation]
    no_fit: bool


class HealthState(StrEnum):
    """The answer of an agent to a health check."""

    SERVING = "serving"
    NOT_SERVING = "not_serving"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """The health of an agent at `checked_at`; `latency_seconds` is 0 if the agent did not answer."""

    agent_id: str
    state: HealthState
    port: int
    latency_seconds: float
    checked_at: datetime
