"""Agents: definitions being served."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from agent_server.model.ports import Prompt
from catalogue.catalogue import Catalogue
from catalogue.errors import AgentNotFound
from catalogue.model import AgentDefinition
from catalogue.pricing.model_names import ModelNames
from catalogue.prompt import system_prompt, user_message
from catalogue.validation import compile_context_schema
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ValidationFailed, Violation


class Agent:
    """One agent: what calls need from its definition, prepared at the first call."""

    def __init__(self, definition: AgentDefinition, model: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.definition = definition
        self.model = model
        self._clock = clock

    @cached_property
    def _system(self) -> str:
        return system_prompt(self.definition)

    @cached_property
    def _check(self) -> Any:
        schema = self.definition.context_schema
        return None if schema is None else compile_context_schema(schema)

    def prompt(self, text: str, context: Mapping[str, Any] | None, execution_id: str) -> Prompt:
        """The prompt for a call. Raises ValidationFailed if the context violates the definition's schema."""
        if self._check is not None:
            violations = [Violation(field, description) for field, description in self._check(context or {})]
            if violations:
                first = violations[0]
                raise ValidationFailed(f"{first.field}: {first.description}", violations=violations)
        message = user_message(text, context, self._clock.now().date())
        return Prompt(self.model, self._system, message, self.definition.max_tokens, execution_id)


class Directory:
    """The agents of the current catalogue by id and port. Each is built once per revision."""

    def __init__(self, catalogue: Catalogue, port_offset: int, models: ModelNames) -> None:
        self._offset = port_offset
        self._models = models
        self._agents: dict[str, Agent] = {}
        self.renew(catalogue)

    def renew(self, catalogue: Catalogue) -> None:
        """Uses a new catalogue from the next call on. Agents with an unchanged revision are kept."""
        self.catalogue = catalogue
        self._agents = {
            agent_id: agent
            for agent_id, agent in self._agents.items()
            if (now := catalogue.find(agent_id)) is not None and now.revision == agent.definition.revision
        }

    def on_port(self, port: int, agent_id: str) -> Agent:
        """The agent that is called on a port. `agent_id` may be empty if the port serves exactly one agent.

        Raises AgentNotFound, with the correct port if the agent is served on another, and ValidationFailed if `agent_id` is needed.
        """
        if not agent_id:
            return self._built(self._only(port))
        definition = self.catalogue.get(agent_id)
        home = definition.port(self._offset)
        if home != port:
            message = f"agent '{agent_id}' is not served on port {port}; call it on port {home}"
            raise AgentNotFound(message, agent_id=agent_id, port=str(home))
        return self._built(definition)

    def _only(self, port: int) -> AgentDefinition:
        agent_ids = self.catalogue.on_port(port, self._offset)
        if len(agent_ids) != 1:
            if not agent_ids:
                raise ValidationFailed.of(
                    "agent_id", f"is required, because port {port} serves no agent at the moment; GET /api/v1/agents lists the agents"
                )
            names = ", ".join(agent.agent_id for agent in agent_ids)
            raise ValidationFailed.of("agent_id", f"is required, because port {port} serves several agents; use one of {names}")
        return agent_ids[0]

    def _built(self, definition: AgentDefinition) -> Agent:
        agent = self._agents.get(definition.agent_id)
        if agent is None:
            agent = self._agents[definition.agent_id] = Agent(definition, self._models.of(definition))
        return agent
