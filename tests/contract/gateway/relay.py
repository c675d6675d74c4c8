"""A TCP relay between Envoy and its upstream, so that a test can break connections as networks do."""

import asyncio
import contextlib


class Relay:
    """Forwards bytes between its clients and `target`, a port of this machine."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._answers = asyncio.Event()
        self._answers.set()

    @property
    def connections(self) -> int:
        """The connections that are open, on both sides."""
        return len(self._writers)

    async def accept(self) -> None:
        """Listens, on the same port each time."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    def hold_answers(self) -> None:
        """Passes nothing on to the clients until `cut`."""
        self._answers.clear()

    def cut(self) -> None:
        """Breaks every connection, and loses the answers that were held; new connections are accepted."""
        self._answers.set()
        for writer in list(self._writers):
            writer.transport.abort()

    async def refuse(self) -> None:
        """Breaks every connection and accepts no new ones."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.target)
            if writer.transport.is_closing():  # broken before the target was connected
                back_writer.transport.abort()
                return
            self._writers.add(back_writer)
            open_gate = asyncio.Event()
            open_gate.set()
            try:
                await asyncio.gather(_pump(reader, back_writer, open_gate), _pump(back_reader, writer, self._answers))
            finally:
                self._writers.discard(back_writer)
        finally:
            self._writers.discard(writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            await gate.wait()
            writer.write(data)
            await writer.drain()
    writer.close()
