"""Definitions, intents and settlements with plausible defaults in every field; a test names only the fields that matter to it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from catalogue.catalogue import Catalogue
from catalogue.model import AgentDefinition
from mesh.usage import TokenUsage
from orchestrator.executions.books import new_id
from orchestrator.executions.model import Bill, Failure, Intent, Settlement, State, Work
from orchestrator.idempotency.model import Claim, Operation

MODEL = "claude-sonnet-5-5"
AGENT_ID = "marketing_seo_strategist_agent_1_1"
WORST_CASE = Bill(TokenUsage(MODEL, 1000, 4096, estimated=True), 42_960, "2026-11-01")
BILL = Bill(TokenUsage(MODEL, 100, 50), 700, "2026-11-01")


def definition(number: int = 1, **fields: Any) -> AgentDefinition:
    """An agent of the marketing category."""
    role = fields.get("role", "seo_strategist")
    made = AgentDefinition(
        agent_id=f"marketing_{role}_agent_1_{number}",
        number=number,
        name=f"SEO Strategist {number}",
        category="marketing",
        role=role,
        description="Finds what people search for.",
        tags=("search",),
        family_prompt="You are {{title}}.",
        parameters={"title": "a strategist"},
        focus="You know keywords.",
        model=None,
        max_tokens=4096,
        context_schema=None,
        examples=(),
        revision="0123456789ab",
        source=Path("seo_strategist.yaml"),
    )
    return replace(made, **fields)


def catalogue(*definitions: AgentDefinition) -> Catalogue:
    """A catalogue of these agents, without files and problems."""
    return Catalogue(definitions)


def work(**fields: Any) -> Work:
    """The work that a caller requests."""
    return replace(Work(7, AGENT_ID, "How do we rank?", None, "req_1"), **fields)


def intent(**fields: Any) -> Intent:
    """The intent of a new execution."""
    made = Intent(
        execution_id=new_id(),
        user_id=7,
        agent_id=AGENT_ID,
        agent_name="SEO Strategist 1",
        agent_revision="0123456789ab",
        input="How do we rank?",
        context={"market": "DE", "budget": 3},
        streamed=False,
        request_id="req_1",
        worst_case=WORST_CASE,
    )
    return replace(made, **fields)


def keyed(key: str, body: bytes = b"body", **fields: Any) -> Intent:
    """An intent with an idempotency key."""
    made = intent(**fields)
    operation = Operation.RUN_STEP if made.step else Operation.EXECUTE_AGENT
    return replace(made, claim=Claim(made.user_id, operation, key, body))


def key_of(intent: Intent) -> str:
    """The idempotency key of an intent; empty if it has none."""
    return intent.claim.key if intent.claim else ""


def completed(of: Intent, **fields: Any) -> Settlement:
    """The settlement of a completed call."""
    return replace(Settlement(of, State.COMPLETED, "Write better.", {"provider": "simulator"}, bill=BILL, seconds=1.5), **fields)


def failed(of: Intent, *, retryable: bool) -> Settlement:
    """The settlement of a call whose provider failed."""
    return Settlement(of, State.FAILED, failure=Failure("LLM_API_ERROR", "overloaded", {"provider_status": "529"}, retryable))


def ended(of: Intent, state: State) -> Settlement:
    """The settlement of a call that ended in `state`, at its worst case."""
    return Settlement(of, state, failure=Failure("CANCELLED", "gone", {}, retryable=False), bill=of.worst_case)
