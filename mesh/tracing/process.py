"""Tracing of one process: off, and free of cost, unless a collector is configured."""

from collections.abc import Iterator
from contextlib import contextmanager

from mesh.tracing.settings import TracingSettings
from mesh.tracing.spans import Tracer

FLUSH_SECONDS = 3.0
"""How long a process that stops may take to export its last spans, after its calls have ended."""
_tracer: Tracer | None = None


def tracer() -> Tracer | None:
    """The tracer of this process; None if tracing is off. Ask once, when the object that uses it is built."""
    return _tracer


@contextmanager
def tracing(service: str, settings: TracingSettings) -> Iterator[None]:
    """Exports the spans of this process to the collector of the settings, and the last ones at the end of the block."""
    if settings.collector is None:
        yield
        return
    from mesh.tracing.export import Batching, open_queue  # the SDK takes 20 MB, and half a second of CPU to import

    batching = Batching(settings.otel_bsp_max_queue_size, settings.otel_bsp_max_export_batch_size, settings.otel_bsp_schedule_delay / 1000)
    queue = open_queue(settings.collector, service, batching)
    try:
        with traced(Tracer(settings.sampling, queue.put, settings.trace_errors_per_second)):
            yield
    finally:
        queue.stop(FLUSH_SECONDS)


@contextmanager
def traced(by: Tracer) -> Iterator[None]:
    """Makes `by` the tracer of what is built inside the block."""
    global _tracer
    before, _tracer = _tracer, by
    try:
        yield
    finally:
        _tracer = before
