"""A real Envoy for the tests."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx

from deploy.local.servers.envoy import EnvoyServer
from deploy.local.supervision.waiting import holds_within
from gateway.envoy.render import GatewaySettings, render_bootstrap, write_sds
from tests.support.ports import any_free_port

ALLOWED_ORIGIN = "http://localhost:5173"
"""The web origin whose pages may call the gateway that most tests share."""


@dataclass
class Gateway:
    """A running Envoy and its clients."""

    port: int
    admin_port: int
    pid: int
    access_log: Path
    http: httpx.AsyncClient
    channel: grpc.aio.Channel

    async def answers(self) -> bool:
        """Whether a call reaches the orchestrator."""
        return (await self.http.get("/health")).status_code == 200

    async def admin(self, command: str) -> str:
        """The response of Envoy's admin interface to a command."""
        response = await self.http.post(f"http://127.0.0.1:{self.admin_port}{command}")
        return response.raise_for_status().text


@contextlib.asynccontextmanager
async def running_gateway(folder: Path, *upstream_ports: int, concurrency: int = 1, **settings: Any) -> AsyncIterator[Gateway]:
    """A real Envoy on free ports in front of those ports of this machine; yields once calls reach them."""
    async with lone_gateway(folder, *upstream_ports, concurrency=concurrency, **settings) as gateway:
        assert await holds_within(10, gateway.answers)
        yield gateway


@contextlib.asynccontextmanager
async def lone_gateway(folder: Path, *upstream_ports: int, concurrency: int = 1, **settings: Any) -> AsyncIterator[Gateway]:
    """The same without waiting for an upstream, with `concurrency` worker threads."""
    port, admin_port = any_free_port(), any_free_port()
    chosen = GatewaySettings(
        gateway_port=port,
        admin_port=admin_port,
        orchestrators=tuple(("127.0.0.1", upstream) for upstream in upstream_ports),
        access_log_path=folder / "access.log",
        sds_dir=folder / "sds",
        **settings,
    )
    write_sds(chosen)
    envoy = EnvoyServer(folder, admin_port, lambda: render_bootstrap(chosen), concurrency=concurrency)
    await envoy.start()
    address = f"127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=15) as http, grpc.aio.insecure_channel(address) as channel:
            yield Gateway(port, admin_port, envoy.process.pid, chosen.access_log_path, http, channel)
    finally:
        await envoy.stop()
