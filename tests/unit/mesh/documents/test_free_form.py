from typing import Any

import pytest

from mesh.documents.free_form import DEEPEST, violations
from mesh.errors import Violation


def nested(levels: int) -> Any:
    value: Any = "leaf"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("value", ["", "text", {}, [], None, 1.5, {"a": [1, {"b": "\ud800"}]}, nested(DEEPEST)])
def test_values_that_can_be_stored_and_returned_are_accepted(value: Any) -> None:
    assert list(violations("context", value)) == []


@pytest.mark.parametrize("value", ["a\x00b", {"a\x00": 1}, {"a": [{"b": "\x00"}]}, ["\x00"]])
def test_the_nul_character_is_refused_at_any_depth(value: Any) -> None:
    assert list(violations("context", value)) == [Violation("context", "must not contain the character U+0000; remove it")]


def test_values_that_protobuf_could_not_read_back_are_refused() -> None:
    assert [one.field for one in violations("tasks[1].context", nested(DEEPEST + 1))] == ["tasks[1].context"]
