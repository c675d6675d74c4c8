from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from agent_server.model.ports import Prompt
from agent_server.turn.agent import Agent, Directory
from catalogue.catalogue import Catalogue
from catalogue.model import AgentDefinition
from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from tests.support.clock import SetClock

T = TypeVar("T")
PROMPT = Prompt("claude-sonnet-5-5", "You help people.", "Hello", 1_000, "execution-1")


def closing(frames: AsyncIterator[T]) -> aclosing[AsyncGenerator[T, None]]:
    """Close the generator `frames` at the end of the block."""
    return aclosing(cast(AsyncGenerator[T, None], frames))


def define(number: int = 1, **changes: Any) -> AgentDefinition:
    """A valid definition with this number."""
    facts: dict[str, Any] = {
        "agent_id": f"own_helper_agent_1_{number}",
        "number": number,
        "name": f"Helper {number}",
        "category": "own",
        "role": "helper",
        "description": "Helps people.",
        "tags": (),
        "family_prompt": "You help {{whom}}.",
        "parameters": {"whom": "people"},
        "focus": "You know tea.",
        "model": None,
        "max_tokens": 1_000,
        "context_schema": None,
        "examples": (),
        "revision": "000000000001",
        "source": Path("own.yaml"),
    }
    return AgentDefinition(**(facts | changes))


@pytest.fixture(scope="session")
def models() -> ModelNames:
    """The names of models according to the shipped price table."""
    return ModelNames(PriceBook.load(), "claude-sonnet-5-5")


@pytest.fixture
def directory(models: ModelNames) -> Callable[..., Directory]:
    """The directory of an installation without a port offset."""

    def _directory(*agents: AgentDefinition, offset: int = 0) -> Directory:
        return Directory(Catalogue(agents), offset, models)

    return _directory


@pytest.fixture
def agent() -> Agent:
    return Agent(define(), "claude-sonnet-5-5", SetClock())
