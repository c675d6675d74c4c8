"""Requests are validated against the rules in their proto before the service sees them, and every violation is reported."""

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.common.v1 import error_pb2

from mesh.errors import ValidationFailed
from mesh.rpc.interceptors.validation import check
from mesh.rpc.status import error_of
from tests.rpc.mesh.conftest import Served


async def violations_of(served: Served, request: pb.ExecuteRequest) -> dict[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await served.stub.Execute(request)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    error = error_of(failed.value)
    assert error is not None
    assert error.reason == "VALIDATION_ERROR"
    return {violation.field: violation.description for violation in error.violations}


async def test_all_violations_are_reported_at_once_with_their_field_paths(served: Served) -> None:
    reached = False

    async def reach(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        nonlocal reached
        reached = True
        return pb.ExecuteResponse()

    served.service.execute = reach
    found = await violations_of(served, pb.ExecuteRequest(agent_id="a" * 201, execution_id="e" * 65))
    assert set(found) == {"agent_id", "input", "execution_id"}
    assert all(found.values())
    assert not reached


async def test_input_is_limited_to_200_000_characters(served: Served) -> None:
    assert (await served.stub.Execute(pb.ExecuteRequest(input="é" * 200_000))).result == "fine"
    assert set(await violations_of(served, pb.ExecuteRequest(input="é" * 200_001))) == {"input"}


async def test_an_optional_empty_field_is_not_validated(served: Served) -> None:
    assert (await served.stub.Execute(pb.ExecuteRequest(input="x", agent_id=""))).result == "fine"


def test_the_message_names_the_first_violation_and_counts_the_others() -> None:
    with pytest.raises(ValidationFailed, match=r"^agent_id: .+ \(and 1 more\)$"):
        check(pb.ExecuteRequest(agent_id="a" * 201))


def test_a_message_without_rules_is_valid() -> None:
    check(error_pb2.Error())
