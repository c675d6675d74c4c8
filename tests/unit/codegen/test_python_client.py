"""The generated messages of the Python client: the same on the wire, and apart from everything else in the process."""

import re
from importlib import import_module

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from agentmesh_client import messages_pb2, services
from agentmesh_client.rpc import Rpc
from protos.codegen import python_client
from protos.codegen.contracts import ContractError, Contracts


def _wire(field: FieldDescriptor) -> tuple[object, ...]:
    kind = field.message_type or field.enum_type
    return field.name, field.number, field.type, field.is_repeated, field.has_presence, kind.name if kind else None


def _originals(contracts: Contracts) -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    waiting = [m for s in contracts.public_services() for rpc in contracts.public_rpcs(s) for m in (rpc.input_type, rpc.output_type)]
    while waiting:
        message = waiting.pop()
        if message.full_name.startswith("agentmesh.") and message.name not in found:
            found[message.name] = message
            waiting += [field.message_type for field in message.fields if field.message_type]
    return found


def test_every_public_message_is_the_same_on_the_wire(ours: Contracts) -> None:
    originals = _originals(ours)
    assert len(originals) > 100
    for name, original in originals.items():
        if original.containing_type is None:
            copy = messages_pb2.DESCRIPTOR.message_types_by_name[name]
            assert [_wire(field) for field in copy.fields] == [_wire(field) for field in original.fields], name


def test_every_public_rpc_has_a_method_and_keeps_its_path(ours: Contracts) -> None:
    paths = {value.path for value in vars(services).values() if isinstance(value, Rpc)}
    rpcs = [(service, rpc) for service in ours.public_services() for rpc in ours.public_rpcs(service)]
    assert paths == {f"/{service.full_name}/{rpc.name}" for service, rpc in rpcs}
    for service, rpc in rpcs:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", rpc.name).lower()
        assert hasattr(getattr(services, service.name), name)
        assert hasattr(getattr(services, f"Async{service.name}"), name)


def test_only_rpcs_that_can_be_repeated_are_marked() -> None:
    marked = {value.path.rpartition("/")[2]: value.repeatable for value in vars(services).values() if isinstance(value, Rpc)}
    assert marked["ExecuteAgent"]
    assert marked["GetAgent"]
    assert not marked["DecideApproval"]
    assert not marked["CreateUser"]


def test_the_client_shares_a_process_with_other_code_generated_from_the_contracts() -> None:
    """Protobuf has one pool of files, names and extension numbers for the whole process."""
    others = "agentmesh.workflow.v1.workflow_service_pb2", "agentmesh.common.v1.error_reason_pb2", "buf.validate.validate_pb2"
    for other in others:
        assert import_module(other).DESCRIPTOR.pool is messages_pb2.DESCRIPTOR.pool
    assert not messages_pb2.DESCRIPTOR.extensions_by_name
    assert all(
        name.startswith("agentmesh_client.") for name in (m.full_name for m in messages_pb2.DESCRIPTOR.message_types_by_name.values())
    )
    assert [file.name for file in messages_pb2.DESCRIPTOR.dependencies] == [
        "google/protobuf/struct.proto",
        "google/protobuf/timestamp.proto",
    ]


def test_a_name_in_two_packages_is_refused() -> None:
    with pytest.raises(ContractError, match="Error: in two packages"):
        python_client._refuse_duplicates(["Error", "Run", "Error"])
