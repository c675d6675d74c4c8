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
def test_what_can_be_stored_and_answered_is_fine(value: Any) -> None:
    assert list(violations("context", value)) == []


@pytest.mark.parametrize("value", ["a\x00b", {"a\x00": 1}, {"a": [{"b": "\x00"}]}, ["\x00"]])
def test_the_character_that_postgresql_does_not_store_is_refused_wherever_it_stands(value: Any) -> None:
    assert list(violations("context", value)) == [Violation("context", "must not contain the character U+0000")]


def test_what_protobuf_could_not_read_again_is_refused() -> None:
    assert [one.field for one in violations("tasks[1].context", nested(DEEPEST + 1))] == ["tasks[1].context"]
