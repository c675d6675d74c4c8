"""grpc.health.v1 on a port of its own, for the supervisor of a process."""

from typing import Self

from mesh.errors import CannotStart
from mesh.rpc.serving.server import Health, build_server, listen

LOOPBACK = "127.0.0.1"
LIVE = "live"
"""The service that is always SERVING: an answer proves that the event loop runs."""


class HealthPort:
    """Answers on the event loop that does the process's work, so that a hung loop does not answer. An async context manager.

    It speaks plaintext even where the mesh speaks TLS, because supervisors have no certificates. The server (service "") reports
    NOT_SERVING until the process is ready, and again while the process stops; the service LIVE is always SERVING. With port 0 it takes any
    free port; without a port it does nothing.
    """

    def __init__(self, port: int | None, address: str = LOOPBACK) -> None:
        self.port = port
        self._address = address

    async def __aenter__(self) -> Self:
        """Raises CannotStart if the port is taken."""
        if self.port is not None:
            self._server = build_server(())
            self._health = Health(self._server)
            try:
                self.port = listen(self._server, self._address, self.port, None)
            except RuntimeError as error:
                raise CannotStart(
                    f"cannot listen on HEALTH_PORT {self.port} of {self._address}: another program uses it, or the address is not one of "
                    "this machine; set HEALTH_PORT to a free port, or correct HEALTH_ADDRESS"
                ) from error
            await self._health.set("", serving=False)
            await self._health.set(LIVE, serving=True)
            await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.port is not None:
            await self._server.stop(0)

    async def set(self, serving: bool) -> None:
        """Reports whether the process takes work."""
        if self.port is not None:
            await self._health.set("", serving)
