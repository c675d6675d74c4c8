"""Additional gateways: in front of the same platform with other settings, or in front of another upstream."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx

from deploy.local.servers.envoy import EnvoyServer
from gateway.envoy.render import GatewaySettings, render_bootstrap
from tests.e2e.platform import Platform
from tests.support.credentials import authorized, bearer
from tests.support.ports import any_free_port
from tests.support.waiting import eventually


@dataclass(frozen=True)
class GatewayClients:
    """A gateway and its clients, which authenticate as the first administrator."""

    http: httpx.AsyncClient
    channel: grpc.aio.Channel


@contextlib.asynccontextmanager
async def second_gateway(platform: Platform, upstream_port: int, **settings: Any) -> AsyncIterator[GatewayClients]:
    """A gateway on free ports in front of `upstream_port`, once its upstream is healthy."""
    port, admin_port = any_free_port(), any_free_port()
    with tempfile.TemporaryDirectory(dir=platform.stack.state.path) as folder:
        chosen = GatewaySettings(
            gateway_port=port,
            admin_port=admin_port,
            orchestrators=(("127.0.0.1", upstream_port),),
            access_log_path=Path(folder) / "access.log",
            **settings,
        )
        envoy = EnvoyServer(Path(folder), admin_port, lambda: render_bootstrap(chosen), concurrency=1)
        await envoy.start()
        address = f"localhost:{port}"
        try:
            client = httpx.AsyncClient(base_url=f"http://{address}", timeout=30, headers=bearer(platform.stack.credentials.token))
            async with client as http, grpc.aio.insecure_channel(address) as channel:
                await eventually(lambda: _healthy(http, admin_port))
                yield GatewayClients(http, authorized(channel, platform.stack.credentials.token))
        finally:
            await envoy.stop()


async def _healthy(http: httpx.AsyncClient, admin_port: int) -> bool:
    clusters = (await http.get(f"http://127.0.0.1:{admin_port}/clusters")).text
    return "health_flags::healthy" in clusters
