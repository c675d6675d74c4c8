"""`python -m tests.bench.programs.provider PORT [SECONDS]`: a Messages API that answers at once, or after a delay; only for benchmarks.

Every side of a comparison uses it, so it must cost little: it reads no more of a request than its length.
"""

import asyncio
import json
import sys
from functools import partial
from typing import cast

import uvloop

_TEXT = "An answer of about two hundred characters, as short replies of agents go: long enough to be read. " * 2
_MESSAGE = {
    "id": "msg_bench",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [{"type": "text", "text": _TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 900, "output_tokens": 48, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
}
_BODY = json.dumps(_MESSAGE).encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_bench\r\ncontent-length: %d\r\n\r\n"
_ANSWER = _HEAD % len(_BODY) + _BODY


class Provider(asyncio.Protocol):
    """Answers the requests of a connection in turn."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer every complete request that has arrived."""
        self._read += data
        while (head := self._read.find(b"\r\n\r\n")) >= 0:
            length = _content_length(self._read[:head])
            if len(self._read) < head + 4 + length:
                return
            self._read = self._read[head + 4 + length :]
            if self._seconds:
                asyncio.get_running_loop().call_later(self._seconds, self._transport.write, _ANSWER)
            else:
                self._transport.write(_ANSWER)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


async def main(port: int, seconds: float) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(partial(Provider, seconds), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float((*sys.argv[2:], "0")[0])))
