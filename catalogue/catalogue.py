"""The catalogue: the agents that are defined, and the problems of the files that define them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from catalogue.errors import AgentNotFound
from catalogue.model import AgentDefinition
from catalogue.nearest import NearestIds


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a definition file. The message names the line or field and says how to fix it."""

    source: Path
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"


@dataclass(frozen=True, slots=True)
class Category:
    """A category with the number of its agents and its roles in alphabetical order."""

    name: str
    agent_count: int
    roles: tuple[str, ...]


class Stamp(NamedTuple):
    """The file attributes that change when a file does."""

    mtime_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class DefinitionFile:
    """One file: the agents of its last valid version, and its current problems."""

    path: Path
    stamp: Stamp | None
    """None if the file must be read again even if its attributes are the same."""
    agents: tuple[AgentDefinition, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Immutable. Two catalogues are equal if they have the same agents and the same problems."""

    agents: tuple[AgentDefinition, ...] = ()
    """Ordered by number."""
    problems: tuple[Problem, ...] = ()
    files: Mapping[Path, DefinitionFile] = field(default_factory=dict, compare=False, repr=False)
    """Every definition file, valid or not. The next reading does not parse unchanged files again."""
    _by_id: Mapping[str, AgentDefinition] = field(init=False, compare=False, repr=False)
    _by_port: Mapping[int, tuple[AgentDefinition, ...]] = field(init=False, compare=False, repr=False)
    _nearest: NearestIds = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        agents = tuple(sorted(self.agents, key=lambda agent: agent.number))
        by_port: dict[int, tuple[AgentDefinition, ...]] = {}
        for agent in agents:
            by_port[agent.port()] = (*by_port.get(agent.port(), ()), agent)
        object.__setattr__(self, "agents", agents)
        object.__setattr__(self, "_by_id", {agent.agent_id: agent for agent in agents})
        object.__setattr__(self, "_by_port", by_port)
        object.__setattr__(self, "_nearest", NearestIds(agent.agent_id for agent in agents))

    def __len__(self) -> int:
        return len(self.agents)

    def find(self, agent_id: str) -> AgentDefinition | None:
        """The agent with this id, or None."""
        return self._by_id.get(agent_id)

    def nearest_ids(self, agent_id: str) -> Sequence[str]:
        """The ids that look most like one that does not exist."""
        return self._nearest.to(agent_id)

    def get(self, agent_id: str) -> AgentDefinition:
        """The agent with this id. Raises AgentNotFound."""
        agent = self.find(agent_id)
        if agent is None:
            raise AgentNotFound.of(agent_id, self.nearest_ids(agent_id))
        return agent

    def on_port(self, port: int, offset: int = 0) -> tuple[AgentDefinition, ...]:
        """The agents on this port, ordered by number, if all ports are shifted by `offset`."""
        return self._by_port.get(port - offset, ())

    def categories(self) -> tuple[Category, ...]:
        """The categories in alphabetical order."""
        members: dict[str, list[AgentDefinition]] = {}
        for agent in self.agents:
            members.setdefault(agent.category, []).append(agent)
        return tuple(
            Category(name, len(agents), tuple(sorted({agent.role for agent in agents}))) for name, agents in sorted(members.items())
        )

    def without_folder(self, problem: Problem) -> "Catalogue":
        """The same agents with this as the only problem. For a folder that cannot be read."""
        return replace(self, problems=(problem,))
