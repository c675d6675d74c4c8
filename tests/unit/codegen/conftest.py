"""Contracts to generate from: the platform's own, and small ones that a test defines."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from protos.codegen.artifacts import read_contracts
from protos.codegen.contracts import Contracts

ROOT = Path(__file__).resolve().parents[3]
_HEAD = """
syntax = "proto3";
package agentmesh.test.v1;
import "agentmesh/common/v1/access.proto";
import "agentmesh/common/v1/default_value.proto";
import "agentmesh/common/v1/error_reason.proto";
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
"""

Compile = Callable[[str], Contracts]


@pytest.fixture(scope="session")
def ours() -> Contracts:
    """The contracts of this repository."""
    return read_contracts(ROOT)


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compiles the body of a proto file in the package agentmesh.test.v1."""

    def compile_proto(body: str) -> Contracts:
        source, target = tmp_path / "test.proto", tmp_path / "test.binpb"
        source.write_text(_HEAD + body)
        includes = [tmp_path, ROOT / "protos" / "third_party", ROOT / "protos", files("grpc_tools") / "_proto"]
        options = ["--include_imports", "--include_source_info", f"--descriptor_set_out={target}"]
        # Every document contains the error table, so it is compiled with each test's own file.
        names = [str(source), "agentmesh/common/v1/error_reason.proto", "agentmesh/common/v1/error.proto"]
        assert protoc.main(["protoc", *(f"-I{include}" for include in includes), *options, *names]) == 0
        return Contracts(FileDescriptorSet.FromString(target.read_bytes()))

    return compile_proto
