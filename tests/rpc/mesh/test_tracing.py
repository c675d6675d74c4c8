"""Spans of a server of the mesh: their context, what is exported, and what happens if the collector is away."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import REGISTRY
from pydantic import ValidationError

from mesh import correlation
from mesh.errors import MeshError, ValidationFailed
from mesh.rpc.status import error_of, find
from mesh.tracing import names, spans
from mesh.tracing.export import Batching, SpanQueue, open_queue
from mesh.tracing.process import traced
from mesh.tracing.settings import TracingSettings
from mesh.tracing.spans import Kind, Tracer
from tests.rpc.mesh.conftest import REQUEST, STREAM_REQUEST, delta, serving, trailers
from tests.support.collector import Collector, Received, running_collector
from tests.support.waiting import eventually

METHOD = "agentmesh.agent.v1.AgentService/Execute"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = ("traceparent", f"00-{TRACE}-{CALLER}-01"), ("traceparent", f"00-{TRACE}-{CALLER}-00")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with running_collector() as one:
        yield one


@asynccontextmanager
async def exporting(endpoint: str, waiting: int = 2048, errors_per_second: float = 10) -> AsyncIterator[SpanQueue]:
    """Traces what is built inside the block; its spans are exported at its end, and every 20 ms."""
    queue = open_queue(endpoint, "test", Batching(waiting, 512, 0.02))
    with traced(Tracer(TracingSettings().sampling, queue.put, errors_per_second)):
        yield queue
    await asyncio.to_thread(queue.stop, 5)


async def failing(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
    raise MeshError("x")


async def nested(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
    """A handler with a span of its own."""
    with tracer_in_use().start("inside", Kind.CLIENT):
        return pb.ExecuteResponse()


def tracer_in_use() -> Tracer:
    span = spans.current()
    assert span is not None
    return span._tracer


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("trace_spans_dropped_total", {"reason": reason}) or 0.0


async def only(collector: Collector) -> Received:
    await eventually(lambda: bool(collector.spans))
    (span,) = collector.spans
    return span


async def test_a_call_continues_the_trace_of_its_caller(collector: Collector) -> None:
    async with exporting(collector.endpoint), serving() as served:
        await served.stub.Execute(REQUEST, metadata=(SAMPLED, ("x-request-id", "req_abc")))
        span = await only(collector)
    assert (span.service, span.name, span.kind, span.trace_id, span.parent_id) == ("test", METHOD, "SERVER", TRACE, CALLER)
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": METHOD,
        "rpc.response.status_code": "OK",
        "agentmesh.request_id": "req_abc",
    }
    assert not span.failed


@pytest.mark.parametrize(
    "header",
    [
        *("", "x", f"00-{TRACE}-{CALLER}", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{CALLER}-01"),
        *(f"00-{TRACE.upper()}-{CALLER}-01", f"00-{TRACE}-{CALLER}-01-more"),
    ],
)
async def test_a_malformed_traceparent_is_ignored(collector: Collector, header: str) -> None:
    async with exporting(collector.endpoint), serving() as served:
        await served.stub.Execute(REQUEST, metadata=(("traceparent", header),))
        span = await only(collector)
    assert span.parent_id == ""
    assert span.trace_id != TRACE


async def test_a_span_inside_the_call_is_a_child_of_its_span(collector: Collector) -> None:
    async with exporting(collector.endpoint), serving() as served:
        served.service.execute = nested
        await served.stub.Execute(REQUEST)
        await eventually(lambda: len(collector.spans) == 2)
    inner, outer = collector.spans
    assert (inner.name, inner.kind, inner.parent_id, inner.trace_id) == ("inside", "CLIENT", outer.span_id, outer.trace_id)


async def test_the_trace_id_is_in_the_details_of_an_error_and_in_log_lines(collector: Collector) -> None:
    async def look(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        seen.append(correlation.trace_id())
        raise MeshError("x")

    seen: list[str] = []
    async with exporting(collector.endpoint), serving() as served:
        served.service.execute = look
        failure = await served.refused(SAMPLED)
        await only(collector)
    info = find(status_pb2.Status.FromString(trailers(failure)["grpc-status-details-bin"]), error_details_pb2.ErrorInfo())
    assert info is not None
    assert info.metadata["trace_id"] == TRACE
    assert seen == [TRACE]
    passed_on = error_of(failure)
    assert passed_on is not None
    assert "trace_id" not in passed_on.details


async def test_a_cancelled_stream_ends_its_span(collector: Collector) -> None:
    waits = asyncio.Event()

    async def endless(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        yield delta(1)
        await waits.wait()

    async with exporting(collector.endpoint), serving() as served:
        served.service.stream = endless
        call = served.stub.StreamExecute(STREAM_REQUEST, metadata=(("x-request-id", "req_abc"),))
        await call.read()
        call.cancel()
        span = await only(collector)
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"
    assert span.attributes["agentmesh.request_id"] == "req_abc"
    assert not span.failed


async def test_an_unsampled_trace_exports_only_the_spans_of_a_fault(collector: Collector) -> None:
    """The spans that enclose the failing one are kept, too; those that ended before it are not."""

    async def fail_inside(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        with tracer_in_use().start("went well"):
            pass
        with tracer_in_use().start("inside"):
            raise MeshError("x")

    async with exporting(collector.endpoint), serving() as served:
        await served.stub.Execute(REQUEST, metadata=(UNSAMPLED,))
        served.service.execute = fail_inside
        await served.refused(UNSAMPLED)
    inner, outer = collector.spans
    assert [inner.name, outer.name] == ["inside", METHOD]
    assert {inner.trace_id, outer.trace_id} == {TRACE}
    assert (outer.parent_id, inner.parent_id) == (CALLER, outer.span_id)
    assert [one.attributes[names.SAMPLED_FOR] for one in (inner, outer)] == ["error", "error"]
    assert [one.attributes[names.ERROR_TYPE] for one in (inner, outer)] == ["INTERNAL", "INTERNAL"]


async def test_a_callers_mistake_is_no_fault(collector: Collector) -> None:
    async def refuse(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        raise ValidationFailed("x")

    async with exporting(collector.endpoint), serving() as served:
        served.service.execute = refuse
        await served.refused(UNSAMPLED)
        await served.refused(SAMPLED)
    (span,) = collector.spans
    assert (span.attributes[names.ERROR_TYPE], span.failed) == ("VALIDATION_ERROR", False)


async def test_faults_beyond_the_rate_are_not_kept(collector: Collector) -> None:
    """A fault that hits every call must not turn sampling at 1 % into sampling at 100 %."""
    async with exporting(collector.endpoint, errors_per_second=3), serving() as served:
        served.service.execute = failing
        began = time.monotonic()
        for _ in range(40):
            await served.refused(UNSAMPLED)
        allowed = 3 * (1 + time.monotonic() - began)
    assert 3 <= len(collector.spans) <= allowed


@pytest.mark.parametrize(
    ("sampler", "argument", "share"),
    [("parentbased_always_on", "0", 1.0), ("always_off", "1", 0.0), ("parentbased_traceidratio", "0.25", 0.25), ("traceidratio", "0", 0.0)],
)
def test_the_samplers_of_the_standard(sampler: str, argument: str, share: float) -> None:
    settings = TracingSettings(otel_traces_sampler=sampler, otel_traces_sampler_arg=float(argument))
    exported: list[spans.Span] = []
    tracer = Tracer(settings.sampling, exported.append, 0)
    for _ in range(2000):
        tracer.start("x").end()
    assert len(exported) / 2000 == pytest.approx(share, abs=0.06)


async def test_a_collector_that_hangs_slows_no_call_and_its_spans_are_counted() -> None:
    async with running_collector() as collector:
        collector.answering.clear()
        before = dropped("queue_full")
        async with exporting(collector.endpoint, waiting=10) as queue:
            async with serving() as served:
                for _ in range(100):
                    began = time.monotonic()
                    await served.stub.Execute(REQUEST)
                    assert time.monotonic() - began < 5
            began = time.monotonic()
            await asyncio.to_thread(queue.stop, 0.2)
            assert time.monotonic() - began < 5
    assert dropped("queue_full") > before


async def test_spans_reach_a_collector_that_starts_later() -> None:
    async with running_collector() as first:
        port = int(re.sub(r".*:", "", first.endpoint))
    async with exporting(f"http://127.0.0.1:{port}"), serving() as served:
        await served.stub.Execute(REQUEST)
        async with running_collector(port) as collector:
            await served.stub.Execute(REQUEST)
            await eventually(lambda: len(collector.spans) == 2)


_FORKING = """
import os, sys
from mesh.tracing.context import Sampling
from mesh.tracing.export import Batching, open_queue
from mesh.tracing.spans import Tracer

queue = open_queue(sys.argv[1], "forking", Batching(100, 100, 600))
tracer = Tracer(Sampling(1), queue.put, 0)
tracer.start("before").end()
if (child := os.fork()) == 0:
    tracer.start("in the fork").end()
    queue.stop(5)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
tracer.start("after").end()
queue.stop(5)
"""


async def test_a_forked_process_neither_hangs_nor_repeats_spans(collector: Collector) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _FORKING, collector.endpoint)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert [span.name for span in collector.spans] == ["before", "after"]


_PROCESS = """
from mesh.process import run_process
from mesh.settings import MeshSettings
from mesh.tracing.process import tracer

async def run(settings, process):
    tracer().start("last").end()
    await process.ready()
    await process.stopping.wait()

run_process("stopped", MeshSettings, lambda: run)
"""


async def test_a_process_that_is_told_to_stop_exports_its_last_spans(collector: Collector, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "600000", "READY_FILE": str(ready)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROCESS, env={**os.environ, **variables})
    await eventually(ready.exists)
    assert collector.spans == []
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert [(span.service, span.name) for span in collector.spans] == [("stopped", "last")]


def test_without_a_collector_the_sdk_is_not_imported() -> None:
    code = "import sys, mesh.process, orchestrator.composition.worker; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_TRACES_SAMPLER_ARG=2"])
def test_an_unsupported_setting_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = variable.split("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        TracingSettings()


def test_the_names_are_those_of_the_installed_conventions() -> None:
    from opentelemetry.semconv import schemas
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, rpc_attributes

    known = {value for module in (gen_ai_attributes, rpc_attributes) for value in vars(module).values() if isinstance(value, str)}
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith(("gen_ai.", "rpc."))}
    assert len(ours) > 10
    assert ours <= known
    assert names.SEMANTIC_CONVENTIONS in {one.value for one in schemas.Schemas}
