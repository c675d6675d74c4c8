"""Requests are checked against the rules in their proto before the service sees them, and every broken rule is reported."""

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


async def test_all_broken_rules_are_reported_at_once_by_the_path_of_their_field(served: Served) -> None:
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


async def test_input_may_have_200_000_characters_and_not_one_more(served: Served) -> None:
    assert (await served.stub.Execute(pb.ExecuteRequest(input="é" * 200_000))).result == "fine"
    assert set(await violations_of(served, pb.ExecuteRequest(input="é" * 200_001))) == {"input"}


async def test_a_field_that_may_be_empty_is_not_checked_when_it_is(served: Served) -> None:
    assert (await served.stub.Execute(pb.ExecuteRequest(input="x", agent_id=""))).result == "fine"


def test_the_message_names_the_first_and_counts_the_rest() -> None:
    with pytest.raises(ValidationFailed, match=r"^agent_id: .+ \(and 1 more\)$"):
        check(pb.ExecuteRequest(agent_id="a" * 201))


def test_a_message_without_rules_is_fine() -> None:
    check(error_pb2.Error())
