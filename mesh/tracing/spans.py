"""Spans: made at every call while tracing is on, exported only if their trace is sampled or they are part of an error.

A span that is not exported costs a few microseconds. The ids of all spans are real, so the spans of an error that each process keeps
belong to one trace, although no process knows in advance that the call will fail, and none holds back finished spans.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from enum import IntEnum
from types import TracebackType
from typing import Self

from mesh import correlation
from mesh.clock import SYSTEM_CLOCK
from mesh.errors import MeshError
from mesh.rpc.status import TABLE
from mesh.tracing import names
from mesh.tracing.context import Sampling, TraceContext, new_span_id, new_trace_id, read_header

Value = str | int | float | bool | Sequence[str]
CANCELLED = "CANCELLED"
_current: ContextVar["Span | None"] = ContextVar("span", default=None)


class Kind(IntEnum):
    """The kind of a span, with the numbers of the SDK."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


class Span:
    """One operation. As a context manager it is the current span, and records the error that ends the block."""

    def __init__(
        self, tracer: "Tracer", name: str, kind: Kind, context: TraceContext, parent_id: int, parent: "Span | None" = None
    ) -> None:
        self._tracer = tracer
        self._parent = parent
        self._before: Span | None = None
        self._began = SYSTEM_CLOCK.monotonic()
        self.name = name
        self.kind = kind
        self.context = context
        self.parent_id = parent_id
        """0 for the first span of a trace."""
        self.attributes: dict[str, Value] = {}
        self.links: list[TraceContext] = []
        self.started_ns = int(SYSTEM_CLOCK.now().timestamp() * 1e6) * 1000
        self.ended_ns = 0
        self.error = ""
        self.fault = False
        self.kept = False
        self.request_id = correlation.current()

    def set(self, name: str, value: Value) -> None:
        """Sets an attribute; a name of mesh/tracing/names.py."""
        self.attributes[name] = value

    def fail(self, error: str, *, fault: bool = True) -> None:
        """Records why the operation failed. `fault`: the platform or its provider failed, not the caller; only faults are kept."""
        self.error = error
        self.fault = fault

    def end(self, at_ns: int | None = None) -> None:
        """Hands the span to the exporter if it is to be exported. It ends now, or at this time (nanoseconds since 1970)."""
        self.ended_ns = self.started_ns + int((SYSTEM_CLOCK.monotonic() - self._began) * 1e9) if at_ns is None else at_ns
        if not self.context.sampled:
            if not self.kept and not (self.fault and self._tracer.keeps_error()):
                return
            self.attributes[names.SAMPLED_FOR] = "error"
            if self._parent is not None:
                self._parent.kept = True
        self.attributes[names.REQUEST_ID] = self.request_id
        self._tracer.finish(self)

    def __enter__(self) -> Self:
        self._before = _current.get()
        _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        _current.set(self._before)  # not by token: an iterator may be closed in another context
        if error is not None and not isinstance(error, GeneratorExit):
            self.fail_with(error)
        self.end()

    def fail_with(self, error: BaseException) -> None:
        """Records an exception."""
        if isinstance(error, asyncio.CancelledError):
            self.fail(CANCELLED, fault=False)
        else:
            reason = error.reason if isinstance(error, MeshError) else type(error).__name__
            self.fail(reason, fault=is_fault(reason))


class Tracer:
    """Makes the spans of this process. `finish` receives those that are to be exported, and must not block."""

    def __init__(self, sampling: Sampling, finish: Callable[[Span], None], errors_per_second: float) -> None:
        self.sampling = sampling
        self.finish = finish
        self._errors_per_second = errors_per_second
        self._errors = errors_per_second
        self._refilled = SYSTEM_CLOCK.monotonic()

    def serve(self, name: str, header: str | None) -> Span:
        """The span of a call from another service, and now the current one. `header` is the caller's `traceparent`."""
        caller = read_header(header)
        if caller is None:
            trace_id = new_trace_id()
            context = TraceContext(trace_id, new_span_id(), self.sampling.decides(trace_id))
        else:
            context = TraceContext(caller.trace_id, new_span_id(), self.sampling.continues(caller))
        span = Span(self, name, Kind.SERVER, context, caller.span_id if caller else 0)
        enter(span)
        return span

    def start(self, name: str, kind: Kind = Kind.INTERNAL) -> Span:
        """A child of the current span, or the first span of a new trace."""
        parent = _current.get()
        if parent is None:
            trace_id = new_trace_id()
            return Span(self, name, kind, TraceContext(trace_id, new_span_id(), self.sampling.decides(trace_id)), 0)
        context = TraceContext(parent.context.trace_id, new_span_id(), parent.context.sampled)
        return Span(self, name, kind, context, parent.context.span_id, parent)

    def start_below(self, parent: TraceContext, name: str, kind: Kind = Kind.INTERNAL) -> Span:
        """A child of a span that may belong to another process."""
        return Span(self, name, kind, TraceContext(parent.trace_id, new_span_id(), parent.sampled), parent.span_id)

    def keeps_error(self) -> bool:
        """Whether one more error may be exported, although its trace is not sampled: a fault that hits every call must not add load."""
        now = SYSTEM_CLOCK.monotonic()
        self._errors = min(self._errors_per_second, self._errors + (now - self._refilled) * self._errors_per_second)
        self._refilled = now
        if self._errors < 1:
            return False
        self._errors -= 1
        return True


def enter(span: Span) -> None:
    """Makes a span the current one for the rest of this task, and its trace the one that log lines and errors name."""
    _current.set(span)
    correlation.adopt_trace(f"{span.context.trace_id:032x}")


def current() -> Span | None:
    """The span of the operation in progress; None if tracing is off."""
    return _current.get()


def is_fault(reason: str) -> bool:
    """Whether an error with this reason is a fault of the platform or its provider. A reason outside of the error table is one."""
    return reason not in TABLE or TABLE[reason].http_status >= 500
