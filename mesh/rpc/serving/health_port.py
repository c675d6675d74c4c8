"""grpc.health.v1 on a loopback port of its own, for the supervisor of a process."""

from typing import Self

from mesh.errors import CannotStart
from mesh.rpc.serving.server import Health, build_server, listen

LOOPBACK = "127.0.0.1"


class HealthPort:
    """Answers on the event loop that does the process's work, so that a hung loop does not answer. An async context manager.

    It speaks plaintext on loopback even where the mesh speaks TLS. It reports NOT_SERVING until the process is ready, and again while
    the process stops. With port 0 it takes any free port; without a port it does nothing.
    """

    def __init__(self, port: int | None) -> None:
        self.port = port

    async def __aenter__(self) -> Self:
        """Raises CannotStart if the port is taken."""
        if self.port is not None:
            self._server = build_server(())
            self._health = Health(self._server)
            try:
                self.port = listen(self._server, LOOPBACK, self.port, None)
            except RuntimeError as error:
                raise CannotStart(f"cannot listen on HEALTH_PORT {self.port}: another program uses it; set it to a free port") from error
            await self._health.set("", serving=False)
            await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.port is not None:
            await self._server.stop(0)

    async def set(self, serving: bool) -> None:
        """Reports whether the process takes work."""
        if self.port is not None:
            await self._health.set("", serving)
