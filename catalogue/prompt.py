"""Renders the prompt of a call: the only code that knows its layout.

An agent host sends what these functions return, and the orchestrator prices the same text before the call. If the two had a layout of
their own, a call could cost more than was reserved for it.
"""

import json
from collections.abc import Mapping
from typing import Any

from catalogue.model import AgentDefinition, fill
from catalogue.pricing.tokens import estimate_tokens

MESSAGE_OVERHEAD_TOKENS = 16
"""What the provider counts on top of the texts of a prompt: the roles and the boundaries of its messages."""


def system_prompt(definition: AgentDefinition) -> str:
    """The family's text, then the agent's focus, with the placeholders filled.

    The text depends only on the definition. Callers that need it for every call should cache it by revision.
    """
    return fill(f"{definition.family_prompt}\n\n{definition.focus}", definition.parameters).strip()


def user_message(text: str, context: Mapping[str, Any] | None) -> str:
    """The caller's input, followed by the context as indented JSON with sorted keys. An empty context adds nothing."""
    if not context:
        return text
    document = json.dumps(context, ensure_ascii=False, indent=1, sort_keys=True)
    return f"{text}\n\n<context>\n{document}\n</context>"


def message_tokens(text: str, context: Mapping[str, Any] | None) -> int:
    """An upper estimate of the input tokens of a call, without those of its system prompt."""
    return estimate_tokens(user_message(text, context)) + MESSAGE_OVERHEAD_TOKENS
