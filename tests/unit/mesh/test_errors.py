"""Every exception that may leave a service has its own row in the error table."""

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Sequence

import pytest

import agent_server
import catalogue
import mesh
import orchestrator
from mesh.errors import MeshError, RemoteError
from mesh.rpc.status import TABLE

PACKAGES = (mesh, catalogue, agent_server, orchestrator)


def errors_of_all_packages() -> list[type[MeshError]]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(("__main__", ".env")) and ".migrations." not in module.name:
                importlib.import_module(module.name)
    found, waiting = [], [MeshError]
    while waiting:
        below = [c for c in waiting.pop().__subclasses__() if c.__module__.split(".")[0] in {p.__name__ for p in PACKAGES}]
        found += below
        waiting += below
    return [error for error in found if error is not RemoteError]


pytestmark = pytest.mark.slow  # it imports every module of the product
Errors = Sequence[type[MeshError]]


@pytest.fixture(scope="module")
def errors() -> Errors:
    return errors_of_all_packages()


def test_each_error_declares_its_own_reason_from_the_table(errors: Errors) -> None:
    for error in errors:
        assert error.reason in TABLE, error
        assert "reason" in vars(error) or error.reason == "INTERNAL", f"{error.__name__} inherits its reason; declare one"


def test_no_two_errors_of_a_package_share_a_reason_other_than_internal(errors: Errors) -> None:
    """Two packages may share one: both the agent host and the orchestrator raise AGENT_EXECUTION_FAILED."""
    shared = Counter((error.__module__.split(".")[0], error.reason) for error in errors if error.reason != "INTERNAL")
    assert [pair for pair, times in shared.items() if times > 1] == []


def test_each_docstring_is_a_sentence_that_says_what_happened(errors: Errors) -> None:
    for error in errors:
        assert inspect.getdoc(error) not in (None, inspect.getdoc(MeshError)), error


def test_errors_are_collected_from_every_package(errors: Errors) -> None:
    assert {error.__module__.split(".")[0] for error in errors} == {package.__name__ for package in PACKAGES}
