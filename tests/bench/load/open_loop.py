"""An open-loop load generator for HTTP/1.1: it sends at a fixed rate, regardless of the responses."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from tests.bench.load.closed_loop import length_of

TICK_SECONDS = 0.005
Finished = Callable[["Connection", float, bytes], None]


LOST = 0


@dataclass(slots=True)
class Outcome:
    """The outcome of the requests of a run."""

    sent: int = 0
    answers: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """By HTTP status (0: the connection was lost): seconds since the start of the run, and the latency in seconds."""

    def latencies(self, status: int, within: float = float("inf")) -> list[float]:
        """The latencies of the responses with this status that arrived in the first `within` seconds."""
        return [latency for at, latency in self.answers.get(status, ()) if at <= within]


class Connection(asyncio.Protocol):
    """Sends one request at a time."""

    def __init__(self, finished: Finished) -> None:
        self._finished = finished
        self._read = bytearray()
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Take a response when it is complete."""
        self._read += data
        head = self._read.find(b"\r\n\r\n")
        if head >= 0 and len(self._read) >= head + 4 + length_of(self._read[:head]):
            answer = bytes(self._read)
            self._read.clear()
            self._finished(self, self._sent, answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Record a request in progress as lost."""
        if self._sent:
            self._finished(self, self._sent, b"")

    def send(self, request: bytes) -> None:
        """Send a request and start its clock."""
        self._sent = time.perf_counter()
        self._transport.write(request)

    def rest(self) -> None:
        """Mark the connection as idle."""
        self._sent = 0.0

    def close(self) -> None:
        self.rest()
        self._transport.close()


class OpenLoop:
    """Sends requests to a port. Connections are opened as needed, and kept."""

    def __init__(self, port: int, request: Callable[[], bytes]) -> None:
        self._port = port
        self._request = request
        self._idle: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0

    async def run(self, per_second: float, seconds: float, patience: float) -> Outcome:
        """Send for `seconds`, and wait up to `patience` seconds for the last responses."""
        outcome, began = Outcome(), time.perf_counter()
        self._outcome, self._began = outcome, began
        while (now := time.perf_counter() - began) < seconds:
            for _ in range(int(now * per_second) - outcome.sent):
                outcome.sent += 1
                self._send()
            await asyncio.sleep(TICK_SECONDS)
        ends = time.perf_counter() + patience
        while self._under_way and time.perf_counter() < ends:  # noqa: ASYNC110 - there is no single thing to wait for
            await asyncio.sleep(TICK_SECONDS)
        return outcome

    def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.close()

    def _send(self) -> None:
        self._under_way += 1
        if self._idle:
            self._idle.pop().send(self._request())
        else:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self._finished), "127.0.0.1", self._port)
        connection.send(self._request())

    def _finished(self, connection: Connection, sent: float, answer: bytes) -> None:
        now = time.perf_counter()
        self._under_way -= 1
        times = (now - self._began, now - sent)
        status = int(answer[9:12]) if answer else LOST
        self._outcome.answers.setdefault(status, []).append(times)
        connection.rest()
        if answer and b"connection: close" not in answer:  # the gateway announces this when it answers before it has read the body
            self._idle.append(connection)
