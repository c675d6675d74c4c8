"""JSON, also of what its fast writer refuses."""

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
def test_values_are_written_so_that_they_are_read_as_they_were(value: Any, written: Any) -> None:
    assert json.loads(to_json(value)) == written


def test_it_is_compact() -> None:
    assert to_json({"a": [1, 2], "b": "c"}) == b'{"a":[1,2],"b":"c"}'


@pytest.mark.parametrize("beside", [{}, {"huge": 10**300}], ids=["fast", "slow"])
def test_what_nobody_knows_is_refused_or_said_by_the_caller(beside: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        to_json({"a": object(), **beside})
    assert json.loads(to_json({"a": object(), **beside}, default=lambda _: "said")) == {"a": "said", **beside}
