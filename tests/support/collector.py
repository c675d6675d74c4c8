"""A stand-in for an OpenTelemetry collector: OTLP over real gRPC, which keeps every span that it gets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer, add_TraceServiceServicer_to_server
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanProto
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Received:
    """A span as the collector got it."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first span of a trace."""
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    """The trace ids and span ids of the linked spans."""
    failed: bool
    began: int
    """Nanoseconds since 1970."""
    seconds: float
    raw: str = field(repr=False)
    """Everything, as text."""


class Collector(TraceServiceServicer):
    """What was received. `answering`: clear it to let exports wait, as a collector that hangs does."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.endpoint = ""

    async def Export(self, request: pb.ExportTraceServiceRequest, context: Any) -> pb.ExportTraceServiceResponse:
        await self.answering.wait()
        for resource in request.resource_spans:
            service = {one.key: _plain(one.value) for one in resource.resource.attributes}["service.name"]
            self.spans += [_received(service, span) for scope in resource.scope_spans for span in scope.spans]
        return pb.ExportTraceServiceResponse()

    def of_trace(self, trace_id: str) -> list[Received]:
        """The spans of one trace, in the order of their beginnings."""
        return [span for span in self.spans if span.trace_id == trace_id]

    def of_request(self, request_id: str) -> list[Received]:
        """The spans of all traces that a request has touched."""
        return [span for span in self.spans if span.attributes.get("agentmesh.request_id") == request_id]


@asynccontextmanager
async def running_collector(port: int = 0) -> AsyncIterator[Collector]:
    """A collector on a free port of loopback, or on this one."""
    collector = Collector()
    server = grpc.aio.server()
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    try:
        yield collector
    finally:
        collector.answering.set()
        await server.stop(None)


def _received(service: str, span: SpanProto) -> Received:
    return Received(
        service=service,
        name=span.name,
        kind=SpanProto.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes={one.key: _plain(one.value) for one in span.attributes},
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        began=span.start_time_unix_nano,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        raw=str(span),
    )


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    return [_plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
