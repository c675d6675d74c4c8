"""Agents and the directory: which agent answers on which port, and with which prompt."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from agent_server.turn.agent import Agent, Directory
from catalogue.catalogue import Catalogue
from catalogue.errors import AgentNotFound
from catalogue.pricing.model_names import ModelNames
from catalogue.prompt import system_prompt
from mesh.errors import ValidationFailed
from tests.support.clock import SetClock
from tests.unit.agent_server.conftest import define

Build = Callable[..., Directory]
SCHEMA = {
    "type": "object",
    "properties": {"market": {"type": "string"}, "year": {"type": "integer", "minimum": 2000}},
    "required": ["market"],
}


def test_a_named_agent_is_found_on_its_own_port(directory: Build) -> None:
    agents = directory(define(1), define(801))
    assert agents.on_port(8201, "own_helper_agent_1_801").definition.number == 801


def test_the_error_on_a_wrong_port_names_the_agents_port(directory: Build) -> None:
    with pytest.raises(AgentNotFound) as refused:
        directory(define(1), define(2), offset=1_000).on_port(9_201, "own_helper_agent_1_2")
    assert refused.value.details == {"agent_id": "own_helper_agent_1_2", "port": "9202"}
    assert "9202" in refused.value.message


def test_the_error_for_an_unknown_agent_names_no_port(directory: Build) -> None:
    with pytest.raises(AgentNotFound) as refused:
        directory(define(1)).on_port(8201, "own_helper_agent_1_9")
    assert refused.value.details == {"agent_id": "own_helper_agent_1_9", "nearest": "own_helper_agent_1_1"}


def test_agent_id_is_optional_if_the_port_serves_one_agent(directory: Build) -> None:
    assert directory(define(1), define(2)).on_port(8202, "").definition.number == 2


def test_agent_id_is_required_if_the_port_serves_two_agents(directory: Build) -> None:
    with pytest.raises(ValidationFailed, match=r"own_helper_agent_1_1, own_helper_agent_1_801") as refused:
        directory(define(1), define(801)).on_port(8201, "")
    assert [violation.field for violation in refused.value.violations] == ["agent_id"]


def test_a_port_whose_agents_were_removed_refuses_calls(directory: Build) -> None:
    with pytest.raises(ValidationFailed, match="port 8300 serves no agent at the moment"):
        directory(define(1)).on_port(8300, "")


def test_an_agent_is_rebuilt_only_when_its_revision_changes(directory: Build) -> None:
    agents = directory(define(1), define(2))
    first, other = agents.on_port(8201, ""), agents.on_port(8202, "")
    assert agents.on_port(8201, "own_helper_agent_1_1") is first
    agents.renew(Catalogue((define(1, revision="000000000002", focus="You know coffee."), define(2))))
    changed = agents.on_port(8201, "")
    assert changed is not first
    assert "coffee" in changed.prompt("x", None, "").system
    assert agents.on_port(8202, "") is other


def test_update_removes_and_adds_agents(directory: Build) -> None:
    agents = directory(define(1))
    agents.renew(Catalogue((define(2),)))
    with pytest.raises(AgentNotFound):
        agents.on_port(8201, "own_helper_agent_1_1")
    assert agents.on_port(8202, "").definition.number == 2


@pytest.mark.parametrize(
    ("wanted", "answers"),
    [(None, "claude-sonnet-5-5"), ("claude-haiku-5-5", "claude-haiku-5-5"), ("claude-3-5-sonnet-20241022", "claude-sonnet-5-5")],
)
def test_model_is_the_definitions_the_default_or_the_successor_of_a_retired_one(
    models: ModelNames, wanted: str | None, answers: str
) -> None:
    assert Directory(Catalogue((define(1, model=wanted),)), 0, models).on_port(8201, "").model == answers


def test_prompt_is_the_filled_definition_and_the_users_text(agent: Agent) -> None:
    prompt = agent.prompt("How much tea?", None, "execution-1")
    assert prompt.system == system_prompt(agent.definition)
    assert prompt.system.endswith("\n\nYou help people.\n\nYou know tea.")
    assert (prompt.input, prompt.model, prompt.max_tokens, prompt.execution_id) == (
        "How much tea?\n\nDate (UTC): 2027-01-15",
        "claude-sonnet-5-5",
        1_000,
        "execution-1",
    )


def test_context_follows_the_text_as_readable_json(agent: Agent) -> None:
    text = agent.prompt("How much tea?", {"year": 2026, "market": "Österreich"}, "").input
    assert text == 'How much tea?\n\n<context>\n{\n"market": "Österreich",\n"year": 2026\n}\n</context>\n\nDate (UTC): 2027-01-15'


def test_an_empty_context_adds_nothing_to_the_prompt(agent: Agent) -> None:
    assert agent.prompt("x", {}, "").input == agent.prompt("x", None, "").input


def test_the_date_is_that_of_the_call_in_utc() -> None:
    """The same agent serves calls on both sides of midnight, and its system prompt stays the same, so that it stays cached."""
    clock = SetClock(datetime(2027, 2, 28, 23, 59, 58, tzinfo=UTC).timestamp())
    agent = Agent(define(), "claude-sonnet-5-5", clock)
    before = agent.prompt("x", None, "")
    clock.advance(3)
    after = agent.prompt("x", None, "")
    assert (before.input[-10:], after.input[-10:]) == ("2027-02-28", "2027-03-01")
    assert before.system == after.system


def test_a_context_that_violates_the_schema_is_refused_with_every_violation() -> None:
    agent = Agent(define(context_schema=SCHEMA), "claude-sonnet-5-5")
    with pytest.raises(ValidationFailed) as refused:
        agent.prompt("x", {"market": 7, "year": 1999}, "")
    assert {violation.field for violation in refused.value.violations} == {"context.market", "context.year"}


@pytest.mark.parametrize("context", [None, {}])
def test_a_missing_context_is_refused_if_the_schema_requires_a_field(context: dict[str, object] | None) -> None:
    with pytest.raises(ValidationFailed) as refused:
        Agent(define(context_schema=SCHEMA), "claude-sonnet-5-5").prompt("x", context, "")
    assert [violation.field for violation in refused.value.violations] == ["context.market"]


def test_any_context_is_accepted_without_a_schema(agent: Agent) -> None:
    assert '"anything"' in agent.prompt("x", {"anything": [1, {"deep": None}]}, "").input
