"""The gRPC channel to a server, and the errors of calls on it. Imported late: gRPC takes 0.2 s to load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2

from gateway.cli.advice import ADVICE
from gateway.cli.errors import CallFailed, CliError, Refusal
from gateway.cli.exits import Exit, exit_of
from mesh.clock import SYSTEM_CLOCK
from mesh.rpc.channel import MAX_MESSAGE_BYTES
from mesh.rpc.status import TABLE, error_of, find

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Retries follow the error table (`Session.ask`), not the channel.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
_REQUEST_ID = "x-request-id"
Trace = Callable[[str], None]


def open_channel(server: str, ca_file: str, trace: Trace | None) -> grpc.Channel:
    """A channel to `http://HOST:PORT` or `https://HOST[:PORT]`; connects at the first call. `trace` receives a line for each call.

    Raises CliError for another kind of address, and for a CA file that cannot be read.
    """
    target, secure = target_of(server)
    if secure:
        credentials = grpc.ssl_channel_credentials(_roots(ca_file) if ca_file else None)
        channel = grpc.secure_channel(target, credentials, options=_OPTIONS)
    else:
        channel = grpc.insecure_channel(target, options=_OPTIONS)
    return grpc.intercept_channel(channel, _Tracer(trace)) if trace else channel


def target_of(server: str) -> tuple[str, bool]:
    """The `host:port` of a server's URL, and whether it uses TLS. Raises CliError."""
    advice = "write it like http://localhost:8000 or https://agents.example.com"
    try:
        url = urlsplit(server)
        port = url.port
    except ValueError:
        raise CliError(f"invalid server '{server}'", advice, Exit.USAGE) from None
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/") or url.query or url.username:
        raise CliError(f"invalid server '{server}'", advice, Exit.USAGE)
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    secure = url.scheme == "https"
    return f"{host}:{port or (443 if secure else 80)}", secure


def failure(error: grpc.RpcError, server: str) -> CliError:
    """The error of a call, as it is shown to the user."""
    known = error_of(error)
    if known is None:
        return _of_grpc(error, server)
    refusal = Refusal(
        known.reason,
        known.message,
        request_id_of(error),
        known.details,
        [(violation.field, violation.description) for violation in known.violations],
        known.retry_after_seconds,
    )
    return CallFailed(refusal, ADVICE[known.reason], exit_of(TABLE[known.reason].http_status))


def failure_in_stream(error: Any) -> CallFailed:
    """The error that a stream carried as its last event (`agentmesh.common.v1.Error`)."""
    details = MessageToDict(error.details)
    violations = [(one["field"], one["description"]) for one in details.pop("field_violations", [])]
    refusal = Refusal(error.code, error.message, error.request_id, details, violations, details.pop("retry_after_seconds", None))
    row = TABLE.get(error.code)
    return CallFailed(refusal, ADVICE.get(error.code, ADVICE["INTERNAL"]), exit_of(row.http_status) if row else Exit.REFUSED)


def reason_of(error: grpc.RpcError) -> str:
    """The reason of a platform error; empty for an error of the connection."""
    known = error_of(error)
    return known.reason if known else ""


def request_id_of(error: grpc.RpcError) -> str:
    """The request id that the platform gave the failed call; empty if the call never reached it."""
    metadata: Any = error.trailing_metadata() or ()
    trailers = dict(metadata)
    if raw := trailers.get("grpc-status-details-bin"):
        info = find(status_pb2.Status.FromString(raw), error_details_pb2.RequestInfo())
        if info is not None:
            return str(info.request_id)
    return str(trailers.get(_REQUEST_ID, ""))


def _of_grpc(error: grpc.RpcError, server: str) -> CliError:
    code, text = error.code(), " ".join(str(error.details() or "").split())
    if code is grpc.StatusCode.UNAVAILABLE:
        text = text.rpartition("last error: ")[2].removeprefix("UNKNOWN: ")
        local = (
            "start the platform with `agentmesh up`" if urlsplit(server).hostname in ("localhost", "127.0.0.1") else "check your network"
        )
        return CliError(f"cannot reach {server} ({text[:200]})", f"{local}, or name another --server", Exit.UNAVAILABLE)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CliError(f"{server} did not answer in time", "try again with a longer --timeout", Exit.TIMED_OUT)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return CliError(f"{server} does not offer this call ({text[:200]})", "compare the versions with `agentmesh doctor`")
    return CliError(f"{server} answered {code.name}: {text[:300]}", "check the server with `agentmesh doctor`")


def _roots(ca_file: str) -> bytes:
    try:
        return Path(ca_file).read_bytes()
    except OSError as error:
        raise CliError(f"cannot read the CA file {ca_file}: {error.strerror}", "name a PEM file with --ca-file", Exit.USAGE) from None


class _Tracer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Writes a line for each call: method, code, time, request id (`--verbose`)."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return self._traced(continuation, details, request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self._trace(f"{details.method} started")  # a watch may never end
        return self._traced(continuation, details, request)

    def _traced(self, continuation: Any, details: Any, request: Any) -> Any:
        began = SYSTEM_CLOCK.monotonic()
        call = continuation(details, request)

        def ended() -> None:
            metadata = {**dict(call.initial_metadata() or ()), **dict(call.trailing_metadata() or ())}
            seconds = SYSTEM_CLOCK.monotonic() - began
            self._trace(f"{details.method} {call.code().name} {seconds * 1000:.0f} ms {metadata.get(_REQUEST_ID, '')}")

        if not call.add_callback(ended):
            ended()
        return call
