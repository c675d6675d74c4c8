"""Errors of definitions.

    MeshError
    ├── AgentNotFound              AGENT_NOT_FOUND
    └── DefinitionsUnreadable      INTERNAL

A broken definition file raises no exception. It is a `Problem` of the catalogue, and all other files are served.
"""

from collections.abc import Sequence

from mesh.errors import MeshError


class AgentNotFound(MeshError):
    """No definition has this id."""

    reason = "AGENT_NOT_FOUND"

    @classmethod
    def of(cls, agent_id: str, nearest: Sequence[str] = ()) -> "AgentNotFound":
        """The error for an id that the catalogue does not know, with the ids that look most like it."""
        if not nearest:
            return cls(f"Agent '{agent_id}' not found; GET /api/v1/agents lists the agents", agent_id=agent_id)
        names = ", ".join(nearest)
        message = f"Agent '{agent_id}' not found; the nearest ids are {names}; GET /api/v1/agents lists all agents"
        return cls(message, agent_id=agent_id, nearest=names)


class DefinitionsUnreadable(MeshError):
    """The folder of the definitions, or the price table, is missing or cannot be read."""
