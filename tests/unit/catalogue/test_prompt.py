"""The layout of a prompt, which agent hosts send and the orchestrator prices."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.pricing.tokens import estimate_tokens
from catalogue.prompt import message_tokens, user_message
from deploy.simulator.messages.tokens import tokens_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def test_the_context_follows_the_input_with_sorted_keys() -> None:
    message = user_message("How much tea?", {"year": 2026, "market": "Österreich"})
    assert message == 'How much tea?\n\n<context>\n{\n "market": "Österreich",\n "year": 2026\n}\n</context>'


@pytest.mark.parametrize("context", [None, {}])
def test_an_empty_context_adds_nothing(context: dict[str, Any] | None) -> None:
    assert user_message("How much tea?", context) == "How much tea?"
    assert message_tokens("How much tea?", context) == message_tokens("How much tea?", None)


@given(st.text(max_size=200), st.none() | st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_the_estimate_covers_the_message_that_is_sent(text: str, context: dict[str, Any] | None) -> None:
    message = user_message(text, context)
    assert message_tokens(text, context) > estimate_tokens(message) >= tokens_of(len(message.encode()))
