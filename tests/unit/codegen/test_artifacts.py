"""`make gen` is deterministic, and its check reports every file that differs from its output."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos.codegen.__main__ import main
from protos.codegen.artifacts import drift, install, render
from tests.unit.codegen.conftest import ROOT

SOURCES = ("buf.yaml", "buf.gen.yaml", "buf.gen.typescript.yaml", "pyproject.toml", "protos")
REGISTRY = Path("protos/agentmesh/registry/v1/registry_service.proto")


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything generated from this repository's contracts."""
    folder = tmp_path_factory.mktemp("rendered")
    render(ROOT, folder)
    return folder


@pytest.fixture
def repository(rendered: Path, tmp_path: Path) -> Path:
    """A copy of the contracts' sources and of all generated files."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, symlinks=True)
        else:
            shutil.copyfile(ROOT / name, tmp_path / name)
    install(tmp_path, rendered)
    return tmp_path


def run(repository: Path, *arguments: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Runs `python -m protos.codegen` of the copy in a process of its own."""
    command = [sys.executable, "-m", "protos.codegen", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(repository)}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_committed_files_match_the_contracts(rendered: Path) -> None:
    """Fails if a contract changed and `make gen` was not run."""
    assert drift(ROOT, rendered) == []


def test_generating_twice_gives_the_same_bytes(repository: Path) -> None:
    """Also with different hash seeds."""
    assert run(repository, "--check", seed="1").returncode == 0
    again = run(repository, seed="2")
    assert (again.returncode, again.stdout) == (0, "everything generated is up to date\n")


@pytest.mark.parametrize(
    "name", ["gen/openapi.json", "docs/errors.md", "gen/python/agentmesh/common/v1/error_pb2.pyi", "gen/ts/agentmesh/common/v1/error_pb.ts"]
)
def test_a_changed_file_is_drift_and_printed_as_a_diff(repository: Path, rendered: Path, name: str) -> None:
    changed = repository / name
    changed.write_text("An edit by hand.\n" + changed.read_text())
    (found,) = drift(repository, rendered)
    assert found.path == Path(name)
    assert found.summary.startswith("differs (+0 -1)")
    assert "-An edit by hand." in found.summary


def test_changed_missing_and_stale_files_are_drift(repository: Path, rendered: Path) -> None:
    descriptor = Path("gen/descriptor.binpb")
    missing = Path("gen/python/agentmesh/agent/v1/agent_pb2.py")
    stale, stale_client = Path("gen/python/old_pb2.py"), Path("gen/ts/old_pb.ts")
    (repository / descriptor).write_bytes(b"\xff" + (repository / descriptor).read_bytes())
    (repository / missing).unlink()
    (repository / stale).touch()
    (repository / stale_client).touch()
    found = {difference.path: difference.summary for difference in drift(repository, rendered)}
    assert found.keys() == {descriptor, missing, stale, stale_client}
    assert "bytes committed" in found[descriptor]
    assert found[missing] == "is missing"
    assert found[stale] == found[stale_client] == "is no longer generated"


def test_installing_removes_drift_and_keeps_correct_files(repository: Path, rendered: Path) -> None:
    wrong, stale, right = (repository / name for name in ("docs/errors.md", "gen/python/old_pb2.py", "gen/openapi.json"))
    wrong.write_text("Not this.")
    stale.touch()
    before = right.stat().st_mtime_ns
    assert install(repository, rendered) == [Path("docs/errors.md"), Path("gen/python/old_pb2.py")]
    assert drift(repository, rendered) == []
    assert right.stat().st_mtime_ns == before


def test_the_check_names_the_drift_and_the_command_to_run(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract = repository / REGISTRY
    contract.write_text(contract.read_text().replace("// Gets one agent.", "// Gets exactly one agent."))
    before = (repository / "gen" / "openapi.json").read_bytes()
    assert main(["--check"], repository) == 1
    said = capsys.readouterr().err
    assert "gen/openapi.json: differs (+1 -1)" in said
    assert "run `make gen` and commit the result" in said
    assert (repository / "gen" / "openapi.json").read_bytes() == before


def test_contracts_with_colliding_paths_are_refused_and_nothing_is_written(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract = repository / REGISTRY
    contract.write_text(contract.read_text().replace('"/api/v1/categories"', '"/api/v1/agents"'))
    before = (repository / "gen" / "openapi.json").read_bytes()
    for arguments in ([], ["--check"]):
        assert main(arguments, repository) == 1
        assert "can match the same request" in capsys.readouterr().err
    assert (repository / "gen" / "openapi.json").read_bytes() == before


def test_contracts_that_do_not_compile_are_refused_with_bufs_message(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract = repository / REGISTRY
    contract.write_text(contract.read_text().replace("rpc GetAgent(GetAgentRequest)", "rpc GetAgent(NoSuchRequest)"))
    assert main([], repository) == 1
    assert "NoSuchRequest" in capsys.readouterr().err


def test_the_descriptor_set_has_everything_the_gateway_needs_and_no_comments(rendered: Path) -> None:
    files = {file.name: file for file in FileDescriptorSet.FromString((rendered / "gen" / "descriptor.binpb").read_bytes()).file}
    # The transcoder drops a whole status if the type of one error detail is not in the set.
    assert "google/rpc/error_details.proto" in files
    assert "agentmesh/common/v1/error.proto" in files
    assert not any(file.HasField("source_code_info") for file in files.values())
    assert {imported for file in files.values() for imported in file.dependency} <= files.keys()
