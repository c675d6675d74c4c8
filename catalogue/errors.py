"""What goes wrong with definitions.

    MeshError
    ├── AgentNotFound              AGENT_NOT_FOUND
    └── DefinitionsUnreadable      INTERNAL

A broken definition file is not an exception: it is a `Problem` of the catalogue, and everything else is served.
"""

from mesh.errors import MeshError


class AgentNotFound(MeshError):
    """No definition has this id."""

    reason = "AGENT_NOT_FOUND"

    @classmethod
    def of(cls, agent_id: str) -> "AgentNotFound":
        """The error for an id that the catalogue does not know."""
        return cls(f"Agent '{agent_id}' not found; GET /api/v1/agents lists the agents", agent_id=agent_id)


class DefinitionsUnreadable(MeshError):
    """The folder of the definitions, or the price table, is missing or cannot be read."""
