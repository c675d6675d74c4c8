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
from mesh.json_encoding import to_json


def configure_logging(service: str, log_format: str) -> None:
    """Sends every log line, the libraries' too, to standard error, as JSON or for a person, with service and request id."""

    def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        if request_id := correlation.current():
            event.setdefault("request_id", request_id)
        return event

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        stamp,
    ]
    if log_format == "json":
        # Local variables stay out of tracebacks: among them are keys and what users wrote.
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
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a line for every attempt; our adapters say it once
    logging.getLogger("grpc._cython.cygrpc").addFilter(_worth_a_line)


def _worth_a_line(record: logging.LogRecord) -> bool:
    # gRPC reads a header that is no UTF-8 as Latin-1, which is well, and writes a traceback whenever one is looked at: any caller could
    # fill the disk with them.
    return not str(record.msg).startswith("Invalid encoding")


def serve_metrics(address: str, port: int | None) -> None:
    """Serves the process's Prometheus metrics over HTTP from a thread of its own; does nothing without a port."""
    if port is not None:
        start_http_server(port, addr=address)
