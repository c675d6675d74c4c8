"""A load generator for HTTP/1.1 on keep-alive connections. It is the same for every side, and cheap, so that it does not measure itself."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, slots=True)
class Slice:
    """The results of one slice of load."""

    in_flight: int
    seconds: float
    latencies: Sequence[float]
    """Seconds, one value for each answered request."""
    failures: int

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latencies) / self.seconds


class _Connection(asyncio.Protocol):
    """Sends requests one after the other until the time is up."""

    def __init__(self, request: bytes, ends: float, latencies: list[float], failures: list[bytes]) -> None:
        self._request = request
        self._ends = ends
        self._latencies = latencies
        self._failures = failures
        self._read = bytearray()
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a complete response, and send the next request."""
        self._read += data
        head = self._read.find(b"\r\n\r\n")
        if head < 0 or len(self._read) < head + 4 + length_of(self._read[:head]):
            return
        if self._read.startswith(b"HTTP/1.1 200"):
            self._latencies.append(time.perf_counter() - self._sent)
        else:
            self._failures.append(bytes(self._read[:2000]))
        self._read.clear()
        if time.perf_counter() < self._ends:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """End the slice for this connection."""
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


def length_of(head: bytearray) -> int:
    """The length of the body according to a response's head."""
    for line in bytes(head).lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError("the response has no content-length; this load generator does not read chunked responses")


def post(path: str, body: bytes, host: str, token: str = "") -> bytes:
    """The bytes of a request."""
    credential = f"authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\n{credential}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def run(host: str, port: int, request: bytes, in_flight: int, seconds: float, *, forgiving: bool = False) -> Slice:
    """Keep `in_flight` requests in flight for `seconds`. Raises RuntimeError with a response if one was not a 200, unless `forgiving`."""
    latencies: list[float] = []
    failures: list[bytes] = []
    began = time.perf_counter()
    loop = asyncio.get_running_loop()

    def connection() -> _Connection:
        return _Connection(request, began + seconds, latencies, failures)

    made = [await loop.create_connection(connection, host, port) for _ in range(in_flight)]
    await asyncio.wait([connection.done for _, connection in made], timeout=seconds + 30)
    if failures and not forgiving:
        raise RuntimeError(f"{len(failures)} of {len(latencies) + len(failures)} requests failed, e.g. {failures[0]!r}")
    return Slice(in_flight, time.perf_counter() - began, latencies, len(failures))
