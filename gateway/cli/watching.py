"""Streams that continue after a broken connection."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gateway.cli.errors import CliError
from gateway.cli.rendering import hint
from gateway.cli.session import Session
from mesh.backoff import delays
from mesh.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    import grpc

PATIENCE_SECONDS = 300.0
"""How long a watch tries to reach the platform again before it gives up."""


def resumed(
    session: Session, open_stream: "Callable[[], Iterator[Any]]", final: Callable[[Any], bool], patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Any]:
    """The messages of a watch until the `final` one.

    When the connection breaks, `open_stream` is called again, and requests what follows the messages that it has seen. Raises
    CliError for an error that another attempt cannot help, and after `patience_seconds` without a message.
    """
    import grpc

    last, waits, told = SYSTEM_CLOCK.monotonic(), delays(5.0), False
    while True:
        try:
            for message in open_stream():
                last, waits, told = SYSTEM_CLOCK.monotonic(), delays(5.0), False
                if message.WhichOneof("event") == "error":
                    _check(message.error, patience_seconds)
                    break
                yield message
                if final(message):
                    return
            why = "the stream ended early"
        except grpc.RpcError as error:
            why = _why(error, session, SYSTEM_CLOCK.monotonic() - last < patience_seconds)
        if SYSTEM_CLOCK.monotonic() - last >= patience_seconds:
            raise CliError(f"lost the connection to {session.server}: {why}", "run the command again; it continues from the start")
        if not told:
            hint(f"Connection lost ({why}); trying again.")
            told = True
        time.sleep(next(waits))


def _check(error: Any, patience_seconds: float) -> None:
    """Raises the error that the stream carried, unless it can be resumed."""
    from gateway.cli.connection import failure_in_stream
    from mesh.rpc.status import TABLE

    row = TABLE.get(error.code)
    if row is None or not row.retryable or patience_seconds <= 0:
        raise failure_in_stream(error)


def _why(error: "grpc.RpcError", session: Session, patient: bool) -> str:
    """The reason of a break that can be resumed. Raises CliError for any other."""
    import grpc

    from gateway.cli.connection import failure, reason_of

    # INTERNAL and UNKNOWN without a reason come from a proxy or a reset in the middle of a message.
    broken = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
    reason = reason_of(error)
    resumable = reason in ("SERVICE_UNAVAILABLE", "UPSTREAM_TIMEOUT") if reason else error.code() in broken
    if not (resumable and patient):
        raise failure(error, session.server) from None
    return reason or str(error.code().name)
