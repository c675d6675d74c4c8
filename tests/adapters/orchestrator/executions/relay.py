"""A relay between the recorder and PostgreSQL that loses packets on request."""

import asyncio
from contextlib import suppress
from typing import Self


class Relay:
    """Forwards bytes, and cuts the connection at a packet that contains a mark: before the server gets it, or after it has answered."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._lose_answer = b""
        self._lose_request = b""
        self.silent = False
        """While true, nothing is forwarded and nothing is closed."""
        self.cut = 0
        """The number of connections cut so far."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def lose_answer_to(self, mark: bytes) -> None:
        """The next packet with `mark` reaches the server, but its response is lost with the connection."""
        self._lose_answer = mark

    def lose_request(self, mark: bytes) -> None:
        """The next packet with `mark` is lost with the connection."""
        self._lose_request = mark

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        losing = asyncio.Event()
        answers = asyncio.create_task(self._answers(server_reader, writer, losing))
        try:
            while data := await reader.read(1 << 20):
                if self._lose_request and self._lose_request in data:
                    self._lose_request = b""
                    self.cut += 1
                    break
                if self._lose_answer and self._lose_answer in data:
                    self._lose_answer = b""
                    losing.set()
                if not self.silent:
                    server_writer.write(data)
        except ConnectionError:
            pass
        finally:
            if not losing.is_set():
                answers.cancel()
                writer.transport.abort()
            with suppress(asyncio.CancelledError):
                await answers
            server_writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                if losing.is_set():
                    self.cut += 1
                    break
                writer.write(data)
        writer.transport.abort()
