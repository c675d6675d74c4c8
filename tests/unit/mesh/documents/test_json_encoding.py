"""JSON encoding, including values that the fast encoder refuses."""

import json
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from mesh.documents.json_encoding import to_json

RUN = UUID(int=1)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": [1, 2.5, None, True, "ä\n"]}, {"a": [1, 2.5, None, True, "ä\n"]}),
        ({"run": RUN, "more": {RUN.hex: RUN}}, {"run": str(RUN), "more": {RUN.hex: str(RUN)}}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({1: "one"}, {"1": "one"}),
        ({"huge": 10**300, "run": RUN}, {"huge": 10**300, "run": str(RUN)}),
        ({"half": "\ud800"}, {"half": "\ud800"}),
    ],
    ids=["plain", "uuid", "mapping", "key", "huge", "no unicode"],
)
def test_values_are_read_back_as_they_were_written(value: Any, written: Any) -> None:
    assert json.loads(to_json(value)) == written


def test_the_encoding_is_compact() -> None:
    assert to_json({"a": [1, 2], "b": "c"}) == b'{"a":[1,2],"b":"c"}'


@pytest.mark.parametrize("beside", [{}, {"huge": 10**300}], ids=["fast", "slow"])
def test_an_unknown_type_is_refused_unless_the_caller_gives_a_default(beside: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        to_json({"a": object(), **beside})
    assert json.loads(to_json({"a": object(), **beside}, default=lambda _: "said")) == {"a": "said", **beside}
