"""Exports spans to a collector with the OpenTelemetry SDK, from a thread of its own. Imported only while tracing is on."""

import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from mesh.tracing import names
from mesh.tracing.context import TraceContext
from mesh.tracing.spans import Span

log = structlog.get_logger()

EXPORTED = Counter("trace_spans_exported_total", "Spans that the collector has accepted")
DROPPED = Counter("trace_spans_dropped_total", "Spans that were to be exported and were lost", ["reason"])
FULL, REFUSED, STOPPED = "queue_full", "not_accepted", "stopped"
_SCOPE = InstrumentationScope("agentmesh", schema_url=names.SEMANTIC_CONVENTIONS)


@dataclass(frozen=True, slots=True)
class Batching:
    """How many spans may wait, how many are sent at once, and how many seconds pass between two exports."""

    waiting: int
    at_once: int
    seconds: float


class SpanQueue:
    """Finished spans on their way to the collector. `put` never blocks: if the queue is full, the span is dropped and counted."""

    def __init__(self, exporter: SpanExporter, resource: Resource, batching: Batching) -> None:
        self._exporter = exporter
        self._resource = resource
        self._batching = batching
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._abandoned = False
        self._accepted = True
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="trace export", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Adds a finished span."""
        if self._stopping or os.getpid() != self._pid:  # the thread does not exist in a forked process
            return
        if len(self._waiting) >= self._batching.waiting:
            DROPPED.labels(FULL).inc()
            return
        self._waiting.append(span)
        if len(self._waiting) >= self._batching.at_once and not self._wake.is_set():
            self._wake.set()

    def stop(self, seconds: float) -> None:
        """Exports what waits, for at most `seconds`; what is left is dropped and counted."""
        if self._stopping or os.getpid() != self._pid:
            return
        self._stopping = True
        self._wake.set()
        self._thread.join(seconds)
        self._abandoned = True
        if left := len(self._waiting):
            DROPPED.labels(STOPPED).inc(left)
            log.warning("traces_lost_at_stop", spans=left)
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._stopping:
            woken = self._wake.wait(self._batching.seconds)
            self._wake.clear()
            waiting = len(self._waiting)
            self._export_next(waiting - waiting % self._batching.at_once if woken else waiting)
        self._export_next(len(self._waiting))

    def _export_next(self, count: int) -> None:
        while count > 0 and not self._abandoned:
            batch = [self._waiting.popleft() for _ in range(min(count, self._batching.at_once))]
            self._export(batch)
            count -= len(batch)

    def _export(self, batch: list[Span]) -> None:
        try:
            accepted = self._exporter.export([readable(span, self._resource) for span in batch]) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - the thread must survive anything that an exporter raises
            accepted = False
        if accepted:
            EXPORTED.inc(len(batch))
        else:
            DROPPED.labels(REFUSED).inc(len(batch))
        if accepted != self._accepted:
            self._accepted = accepted
            if accepted:
                log.info("traces_accepted_again")
            else:
                log.warning("traces_not_accepted", spans=len(batch), advice="check OTEL_EXPORTER_OTLP_ENDPOINT and the collector")


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """The span as the SDK's exporters take it."""
    status = Status(StatusCode.ERROR, span.error) if span.fault else Status()
    attributes = {**span.attributes, names.ERROR_TYPE: span.error} if span.error else span.attributes
    return ReadableSpan(
        name=span.name,
        context=_context(span.context, remote=False),
        parent=_context(TraceContext(span.context.trace_id, span.parent_id, True), remote=True) if span.parent_id else None,
        resource=resource,
        attributes=attributes,
        links=[Link(_context(link, remote=True)) for link in span.links],
        kind=SpanKind(span.kind),
        status=status,
        start_time=span.started_ns,
        end_time=span.ended_ns,
        instrumentation_scope=_SCOPE,
    )


def _context(context: TraceContext, *, remote: bool) -> SpanContext:
    return SpanContext(context.trace_id, context.span_id, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def resource_of(service: str, facts: Mapping[str, str]) -> Resource:
    """The process, as traces name it. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    named = {"service.name": service, "service.namespace": "agentmesh", "service.instance.id": str(uuid7()), **facts}
    return Resource(named).merge(OTELResourceDetector().detect())


def open_queue(endpoint: str, service: str, batching: Batching) -> SpanQueue:
    """Starts to export to a collector. The connection is made with the first export, and again whenever it was lost."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it logs every attempt; the queue logs once
    return SpanQueue(
        OTLPSpanExporter(endpoint=endpoint), resource_of(service, {"service.version": metadata.version("agentmesh")}), batching
    )
