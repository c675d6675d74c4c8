"""The provider's own books: the requests that it answered and what they cost. Tests compare the platform's books with them.

JSON lines, appended to a file if one is set. Each request to `POST /v1/messages` has two lines, even if it is answered with an error:
one before anything of the answer is sent and before any delay, and one when the answer is complete or has broken off. If the second
line is missing, the simulator died while it answered. Each line is one write() to the operating system, so it survives the end of
this process, but not a power failure. `count_tokens` is free and not logged.

    n               number of the line, from 1 in each run of the simulator
    at              UTC, RFC 3339, milliseconds
    request_id      the same in both lines, never repeated; also the answer's header `request-id`
    execution_id    from the header `x-agentmesh-execution-id`; null without one
    model           as requested; null if the request was refused before it was read
    stream          whether the answer is a stream of events
    input_sha256    hexadecimal SHA-256 of the UTF-8 text of the last user turn without its date; null when `model` is null
    outcome         `started` in the first line; in the second:
                    `completed`     the whole answer was sent
                    `cut`           the simulator broke the answer off: sim-cut, or it was stopped
                    `client_gone`   the client left before the answer was complete
                    `fault:<name>`  a fault made it an error or a broken answer
                    `error:<type>`  the request was refused, by the API's own error type
    fault           the fault in force, for every outcome; null without one
    status          the HTTP status
    input_tokens, cache_read_input_tokens, cache_creation_input_tokens     as in the API's `usage`
    output_tokens   produced so far
    billed          whether the provider charges for these tokens: false for error statuses, otherwise true. If the client left or
                    the answer broke off, the input and the output until then are charged.
"""

import json
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.simulator.messages.cache import InputUsage
from mesh.clock import SYSTEM_CLOCK

LINES_IN_MEMORY = 20_000
NOTHING_READ = InputUsage()


@dataclass(slots=True)
class Receipt:
    """The log entry of one request, filled in as the request proceeds."""

    request_id: str
    execution_id: str | None = None
    model: str | None = None
    stream: bool = False
    input_sha256: str | None = None
    fault: str | None = None
    status: int = 200
    usage: InputUsage = NOTHING_READ
    output_tokens: int = 0
    billed: bool = False


class AnswerLog:
    """The log of one run. Writing raises OSError if the file cannot be written; then the request must not be answered."""

    def __init__(self, path: Path | None) -> None:
        self._lines: deque[bytes] = deque(maxlen=LINES_IN_MEMORY)
        self._written = 0
        self._file = None if path is None else _opened(path)

    def started(self, receipt: Receipt) -> None:
        self._append(receipt, "started")

    def ended(self, receipt: Receipt, outcome: str) -> None:
        self._append(receipt, outcome)

    def after(self, n: int) -> tuple[Iterable[bytes], int, int]:
        """The encoded lines after line `n` that are still in memory, and the numbers of the oldest one in memory and of the latest."""
        oldest = self._written - len(self._lines) + 1
        skipped = max(0, n - oldest + 1)
        return list(self._lines)[skipped:], oldest, self._written

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, receipt: Receipt, outcome: str) -> None:
        line = _encoded(receipt, outcome, self._written + 1)
        if self._file is not None and os.write(self._file, line + b"\n") != len(line) + 1:
            raise OSError("the simulator's log could not be written completely: check the free space on its disk")
        self._written += 1
        self._lines.append(line)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _encoded(receipt: Receipt, outcome: str, n: int) -> bytes:
    usage = receipt.usage
    return json.dumps(
        {
            "n": n,
            "at": SYSTEM_CLOCK.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "request_id": receipt.request_id,
            "execution_id": receipt.execution_id,
            "model": receipt.model,
            "stream": receipt.stream,
            "input_sha256": receipt.input_sha256,
            "outcome": outcome,
            "fault": receipt.fault,
            "status": receipt.status,
            "input_tokens": usage.uncached,
            "cache_read_input_tokens": usage.read,
            "cache_creation_input_tokens": usage.written,
            "output_tokens": receipt.output_tokens,
            "billed": receipt.billed,
        }
    ).encode()
