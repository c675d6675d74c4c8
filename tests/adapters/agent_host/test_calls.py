"""Calls to an agent on its own port: its description, its answers, and its refusals."""

import asyncio
import math
from pathlib import Path
from typing import Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from google.protobuf import struct_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from mesh.rpc.convert import struct, values
from tests.adapters.agent_host.conftest import Call, failure_of, read
from tests.adapters.agent_host.running import ALONE, CHECKED, FIRST, SECOND, Host, agent_id
from tests.support.call_tokens import call_token
from tests.support.waiting import eventually


async def test_describe_returns_the_agents_definition_and_port(host: Host) -> None:
    agent = (await host.stub(CHECKED).Describe(pb.DescribeRequest(agent_id=agent_id(CHECKED)))).agent
    assert (agent.agent_id, agent.number, agent.name, agent.category) == (agent_id(CHECKED), CHECKED, "Helper 20", "own")
    assert (agent.port, agent.model, agent.max_tokens) == (host.port(CHECKED), "claude-sonnet-5-5", 4096)
    assert values(agent.context_schema, "schema")["required"] == ["market"]
    assert len(agent.revision) == 12


async def test_execute_returns_text_metadata_and_the_usage_that_the_provider_logged(call: Call) -> None:
    answer = await call.execute()
    assert answer.agent_name == "Helper 1"
    assert len(answer.result) > 200
    assert 0 < answer.execution_time < 30
    metadata = values(answer.metadata, "metadata")
    assert {**metadata, "agent_revision": ""} == {
        "provider": "simulator",
        "model": "claude-sonnet-5-5",
        "stop_reason": "end_turn",
        "agent_revision": "",
    }
    logged = await call.simulator.ended(call.id)
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens) == (logged["input_tokens"], logged["output_tokens"])
    assert (usage.model, usage.estimated, usage.cost_micro_usd) == ("claude-sonnet-5-5", False, 0)


async def test_a_stream_has_the_same_text_in_numbered_frames_then_usage_and_done(call: Call) -> None:
    whole = await call.execute()
    streamed = await read(call.stream())
    assert streamed.failure is None
    assert streamed.events == ["delta", "usage", "done"]
    assert [frame.sequence for frame in streamed.frames] == list(range(1, len(streamed.frames) + 1))
    assert streamed.text == whole.result
    assert streamed.frames[-2].usage == whole.usage
    done = streamed.frames[-1].done
    assert (done.agent_name, done.metadata) == (whole.agent_name, whole.metadata)
    assert done.execution_time > 0


async def test_the_first_delta_arrives_while_the_provider_is_still_answering(call: Call) -> None:
    await call.fault("trickle", 100)
    stream = call.stream()
    first = await stream.read()
    assert first.WhichOneof("event") == "delta"
    assert await call.simulator.active() >= 1
    stream.cancel()


async def test_the_caller_learns_that_its_call_was_accepted_before_the_provider_answers(call: Call) -> None:
    await call.fault("hang")
    stream = call.stream()
    assert dict(await stream.initial_metadata())["x-mesh-accepted"] == "1"
    stream.cancel()


async def test_the_context_reaches_the_model_and_changes_the_answer(host: Host) -> None:
    async def answer(market: str) -> str:
        request = pb.ExecuteRequest(input="Plan the launch.", context=struct({"market": market, "year": 2026}))
        return (await host.stub(CHECKED).Execute(request)).result

    assert await answer("Norway") != await answer("Portugal")


@pytest.mark.parametrize(
    ("context", "fields"),
    [
        ({"market": 5}, ["context.market"]),
        ({"market": "Norway", "year": 1999}, ["context.year"]),
        ({"market": ["Norway"], "year": "2026"}, ["context.market", "context.year"]),
        ({}, ["context.market"]),
        (None, ["context.market"]),
    ],
)
async def test_a_context_that_violates_the_schema_is_refused_with_its_field_paths(
    host: Host, context: dict[str, object] | None, fields: list[str]
) -> None:
    request = pb.ExecuteRequest(input="x", context=None if context is None else struct(context))
    error = await failure_of(host.stub(CHECKED).Execute(request))
    assert error.reason == "VALIDATION_ERROR"
    assert sorted(violation.field for violation in error.violations) == fields


async def test_a_context_with_numbers_without_a_json_form_is_refused(host: Host) -> None:
    context = struct_pb2.Struct(fields={"n": struct_pb2.Value(number_value=math.nan)})
    error = await failure_of(host.stub(ALONE).Execute(pb.ExecuteRequest(input="x", context=context)))
    assert (error.reason, [violation.field for violation in error.violations]) == ("VALIDATION_ERROR", ["context"])


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"input": ""}, "input"),
        ({"input": "x" * 200_001}, "input"),
        ({"agent_id": "x" * 201}, "agent_id"),
        ({"execution_id": "e" * 65}, "execution_id"),
    ],
)
async def test_an_invalid_request_is_refused_and_buys_nothing(call: Call, fields: dict[str, Any], broken: str) -> None:
    error = await failure_of(call.execute(**fields))
    assert (error.reason, [violation.field for violation in error.violations]) == ("VALIDATION_ERROR", [broken])
    assert await call.purchases() == 0


async def test_input_of_the_maximum_length_is_answered(call: Call) -> None:
    assert (await call.execute(input=call.id + "ß" * (200_000 - len(call.id)))).result


async def test_the_error_on_a_wrong_port_names_the_right_one(host: Host) -> None:
    whole = host.stub(ALONE).Execute(pb.ExecuteRequest(agent_id=agent_id(SECOND), input="x"))
    stream = host.stub(ALONE).StreamExecute(pb.StreamExecuteRequest(agent_id=agent_id(SECOND), input="x"))
    for answer in (whole, stream.read()):
        error = await failure_of(answer)
        assert (error.reason, error.details) == ("AGENT_NOT_FOUND", {"agent_id": agent_id(SECOND), "port": str(host.port(SECOND))})


async def test_an_undefined_agent_is_not_found(host: Host) -> None:
    error = await failure_of(host.stub(ALONE).Describe(pb.DescribeRequest(agent_id=agent_id(999))))
    assert (error.reason, error.details["agent_id"]) == ("AGENT_NOT_FOUND", agent_id(999))
    assert agent_id(1) in error.details["nearest"]


async def test_on_a_shared_port_agent_id_is_required_and_selects_the_agent(host: Host) -> None:
    for number in (FIRST, SECOND):
        assert (await host.stub(FIRST).Describe(pb.DescribeRequest(agent_id=agent_id(number)))).agent.number == number
    error = await failure_of(host.stub(FIRST).Describe(pb.DescribeRequest()))
    assert error.reason == "VALIDATION_ERROR"
    assert agent_id(FIRST) in error.message
    assert agent_id(SECOND) in error.message


async def test_agent_id_is_optional_for_an_agent_alone_on_its_port(host: Host) -> None:
    assert (await host.stub(ALONE).Describe(pb.DescribeRequest())).agent.agent_id == agent_id(ALONE)
    assert (await host.stub(ALONE).Execute(pb.ExecuteRequest(input="x"))).agent_name == "Helper 1"


async def test_undecodable_bytes_are_a_validation_error_and_the_host_keeps_running(host: Host) -> None:
    execute: Any = host.channel(ALONE).unary_unary("/agentmesh.agent.v1.AgentService/Execute")
    error = await failure_of(execute(b"\xff\xff\xff", metadata=call_token(agent_id(ALONE))))
    assert error.reason == "VALIDATION_ERROR"
    assert (await failure_of(execute(b"\xff\xff\xff"))).reason == "AUTH_INVALID_CREDENTIALS"
    assert (await host.stub(ALONE).Describe(pb.DescribeRequest())).agent.number == ALONE


async def test_health_is_reported_per_agent_for_the_service_and_for_the_host(host: Host) -> None:
    for service in ("", "agentmesh.agent.v1.AgentService", agent_id(FIRST), agent_id(SECOND)):
        assert await host.health(FIRST, service) == HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await HealthStub(host.channel(FIRST)).Check(HealthCheckRequest(service=agent_id(ALONE)))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_shows_the_service_on_every_port(host: Host) -> None:
    for number in (ALONE, FIRST, CHECKED):
        question = reflection_pb2.ServerReflectionRequest(file_containing_symbol="agentmesh.agent.v1.AgentService")
        stream = ServerReflectionStub(host.channel(number)).ServerReflectionInfo(iter([question]))
        answers = [answer async for answer in stream]
        assert answers[0].file_descriptor_response.file_descriptor_proto


async def test_grpcurl_lists_describes_and_calls_an_agent_on_its_port(host: Host, grpcurl: Path) -> None:
    async def run(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            grpcurl, "-plaintext", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    address = f"127.0.0.1:{host.port(FIRST)}"
    assert "agentmesh.agent.v1.AgentService" in await run(address, "list")
    assert "rpc StreamExecute" in await run(address, "describe", "agentmesh.agent.v1.AgentService")
    assert "SERVING" in await run("-d", f'{{"service": "{agent_id(FIRST)}"}}', address, "grpc.health.v1.Health/Check")
    described = await run("-d", f'{{"agent_id": "{agent_id(SECOND)}"}}', address, "agentmesh.agent.v1.AgentService/Describe")
    assert '"Helper 807"' in described


async def test_metrics_count_calls_by_agent_and_status(call: Call, metrics_port: int) -> None:
    await call.execute()

    async def counted() -> bool:
        async with call.simulator.http.get(f"http://127.0.0.1:{metrics_port}/metrics") as response:
            text = await response.text()
        return (
            'agent_requests_total{agent_name="Helper 1",status="success"}' in text
            and 'agent_processing_seconds_bucket{agent_name="Helper 1"' in text
            and 'grpc_server_handled_total{grpc_code="OK",grpc_method="/agentmesh.agent.v1.AgentService/Execute"}' in text
        )

    await eventually(counted)


async def test_every_log_line_of_a_call_has_its_request_id(host: Host) -> None:
    request = pb.ExecuteRequest(input="x")
    await host.stub(ALONE).Execute(request, metadata=(("x-request-id", "req_logged"),))

    async def logged() -> bool:
        return any(line.get("request_id") == "req_logged" and line.get("code") == "OK" for line in host.logged())

    await eventually(logged)
