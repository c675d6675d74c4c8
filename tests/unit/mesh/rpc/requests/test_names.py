"""Names that callers choose are shown in lists, logs and terminals, so none may contain a control character."""

import protovalidate
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

from mesh.rpc.interceptors.validation import _path
from tests.unit.mesh.rpc.requests.test_request_limits import METHODS

NAMED = [
    method.input_type for method in METHODS if method.name.startswith(("Create", "Update")) and "name" in method.input_type.fields_by_name
]


def test_the_names_are_those_of_keys_and_workflows() -> None:
    assert sorted(kind.name for kind in NAMED) == ["CreateApiKeyRequest", "CreateWorkflowRequest"]


@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("character", ["\x00", "\t", "\n", "\x1b", "\x7f", "\x85", "\x9f"])
def test_a_name_with_a_control_character_is_refused(kind: Descriptor, character: str) -> None:
    assert "name" in refused(kind, f"nightly{character}report")


@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["nightly report", "Übersicht für März", "日次レポート", "d'été 🙂"])
def test_any_other_name_is_accepted(kind: Descriptor, name: str) -> None:
    assert "name" not in refused(kind, name)


def refused(kind: Descriptor, name: str) -> set[str]:
    """The fields of the request that break a rule."""
    return {str(_path(violation)) for violation in protovalidate.collect_violations(GetMessageClass(kind)(name=name))}
