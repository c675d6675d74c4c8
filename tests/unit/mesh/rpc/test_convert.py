"""Conversion of free-form values between the contract and Python."""

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ValidationFailed, Violation
from mesh.rpc import convert
from mesh.rpc.convert import LARGEST_EXACT, struct, values

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-LARGEST_EXACT, LARGEST_EXACT)
    | st.floats(-LARGEST_EXACT, LARGEST_EXACT)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=10), plain, max_size=6))
def test_values_survive_a_struct(given_values: dict[str, Any]) -> None:
    assert values(struct(given_values), "context") == given_values


@pytest.mark.parametrize("large", [{"a": [None] * 9_000}, {"a": [{"b": [1]}] * 3_000}, {str(number): "x" for number in range(9_000)}])
async def test_other_calls_get_their_turn_while_a_large_struct_is_converted(large: dict[str, Any]) -> None:
    turns = 0

    async def other_calls() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other_calls())
    assert await convert.given_values(struct(large), "context") == large
    others.cancel()
    assert turns >= 9_000 // convert.VALUES_AT_A_TIME


def test_whole_numbers_become_int_at_every_depth() -> None:
    found = values(struct({"n": 3, "deep": [{"n": 4.0}, 0.5]}), "context")
    assert repr(found) in ("{'n': 3, 'deep': [{'n': 4}, 0.5]}", "{'deep': [{'n': 4}, 0.5], 'n': 3}")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "place", [lambda n: {"a": n}, lambda n: {"a": {"b": n}}, lambda n: {"a": [1, {"b": [n]}]}], ids=["top", "inside", "deep"]
)
def test_numbers_without_a_json_form_are_refused_with_the_field(number: float, place: Any) -> None:
    with pytest.raises(ValidationFailed) as refused:
        values(struct(place(number)), "context")
    assert refused.value.violations == (Violation("context", "contains NaN or infinity, which JSON cannot represent; send finite numbers"),)


def test_a_value_without_a_kind_is_null() -> None:
    message = struct({})
    message.fields["a"].Clear()
    assert values(message, "context") == {"a": None}


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**53 + 1, 10**22, 1e300])
@pytest.mark.parametrize("place", [lambda n: {"a": n}, lambda n: {"a": [{"b": n}]}], ids=["top", "deep"])
def test_numbers_that_may_have_lost_digits_are_refused(number: float, place: Any) -> None:
    """9007199254740993 arrives as 9007199254740992; the receiver cannot tell which of them was sent."""
    with pytest.raises(ValidationFailed) as refused:
        values(struct(place(number)), "context")
    (violation,) = refused.value.violations
    assert violation.field == "context"
    assert "send them as strings" in violation.description


def test_the_largest_exact_numbers_keep_their_digits() -> None:
    exact = {"a": LARGEST_EXACT, "b": -LARGEST_EXACT}
    assert values(struct(exact), "context") == exact
