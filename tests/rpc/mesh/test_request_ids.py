"""The request id: taken from the caller or generated, and returned in every response, error and log line."""

import re
from collections.abc import AsyncIterator

import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs

from mesh import correlation
from mesh.errors import MeshError
from mesh.rpc.status import find
from tests.rpc.mesh.conftest import REQUEST, STREAM_REQUEST, Served, delta, trailers

FORM = re.compile(r"req_[A-Za-z0-9_-]{1,60}")


async def echoed(served: Served, *metadata: tuple[str, str]) -> str:
    call = served.stub.Execute(REQUEST, metadata=metadata)
    await call
    return str(dict(await call.trailing_metadata())["x-request-id"])


async def test_a_well_formed_id_is_returned_and_is_current_inside_the_call(served: Served) -> None:
    inside = []

    async def look(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        inside.append(correlation.current())
        return pb.ExecuteResponse()

    served.service.execute = look
    assert await echoed(served, ("x-request-id", "req_abc")) == "req_abc"
    assert inside == ["req_abc"]


@pytest.mark.parametrize("given_id", ["abc", "req_", "req_a b", "req_" + "a" * 61, "<script>", "req_a;b"])
async def test_a_malformed_id_is_replaced(served: Served, given_id: str) -> None:
    echo = await echoed(served, ("x-request-id", given_id))
    assert echo != given_id
    assert FORM.fullmatch(echo)


async def test_each_call_without_an_id_gets_its_own(served: Served) -> None:
    first, second = await echoed(served), await echoed(served)
    assert FORM.fullmatch(first)
    assert first != second


async def test_the_first_of_several_ids_is_used(served: Served) -> None:
    assert await echoed(served, ("x-request-id", "req_a"), ("x-request-id", "req_b")) == "req_a"


async def test_an_error_has_the_id_in_its_trailers_and_details(served: Served) -> None:
    async def fail(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        raise MeshError("x")

    served.service.execute = fail
    found = trailers(await served.refused(("x-request-id", "req_abc")))
    info = find(status_pb2.Status.FromString(found["grpc-status-details-bin"]), error_details_pb2.RequestInfo())
    assert info is not None
    assert (found["x-request-id"], info.request_id) == ("req_abc", "req_abc")


async def test_a_stream_returns_the_id_and_keeps_it_to_its_end(served: Served) -> None:
    inside = []

    async def look(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        for sequence in (1, 2):
            inside.append(correlation.current())
            yield delta(sequence)

    served.service.stream = look
    call = served.stub.StreamExecute(STREAM_REQUEST, metadata=(("x-request-id", "req_abc"),))
    assert [message.sequence async for message in call] == [1, 2]
    assert dict(await call.trailing_metadata())["x-request-id"] == "req_abc"
    assert inside == ["req_abc", "req_abc"]


@pytest.mark.parametrize(("failing", "code"), [(False, "OK"), (True, "INTERNAL")])
async def test_each_call_logs_one_line_with_method_code_and_time(served: Served, failing: bool, code: str) -> None:
    async def fail(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        raise MeshError("x")

    if failing:
        served.service.execute = fail
    with capture_logs() as logs:
        if failing:
            await served.refused()
        else:
            await served.stub.Execute(REQUEST)
    (line,) = (line for line in logs if line["event"] == "call")
    assert (line["rpc"], line["code"]) == ("/agentmesh.agent.v1.AgentService/Execute", code)
    assert 0 <= line["seconds"] < 10
