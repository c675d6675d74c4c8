"""Structured logs and Prometheus for every process of the mesh."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from prometheus_client import start_http_server
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer

from mesh import correlation
from mesh.documents.json_encoding import to_json


def configure_logging(service: str, log_format: str) -> None:
    """Writes all log lines, including those of libraries, to standard error with service, request and trace id, as JSON or plain text."""

    def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        if request_id := correlation.current():
            event.setdefault("request_id", request_id)
        if trace_id := correlation.trace_id():
            event["trace_id"] = trace_id
        return event

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        stamp,
    ]
    if log_format == "json":
        # Tracebacks must not show local variables: they hold keys and users' texts.
        shared.append(ExceptionRenderer(ExceptionDictTransformer(show_locals=False)))
        ours: Any = structlog.processors.JSONRenderer(to_json)
        theirs: Any = structlog.processors.JSONRenderer()
        factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    else:
        ours = theirs = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=[*shared, ours],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, theirs]
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs every attempt; the adapters log once
    logging.getLogger("grpc._cython.cygrpc").addFilter(_worth_a_line)


def _worth_a_line(record: logging.LogRecord) -> bool:
    # gRPC reads a header that is not UTF-8 as Latin-1 and logs a traceback each time: any caller could fill the disk.
    return not str(record.msg).startswith("Invalid encoding")


def serve_metrics(address: str, port: int | None) -> None:
    """Serves Prometheus metrics over HTTP from a separate thread; does nothing without a port."""
    if port is not None:
        start_http_server(port, addr=address)
