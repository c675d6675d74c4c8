"""Asks a process of the mesh whether its event loop still runs: by grpc.health.v1 on the port that its ready file names."""

import json
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub


class HealthProbe:
    """Keeps one connection to the process, and makes a new one when the process has a new port."""

    def __init__(self, ready_file: Path) -> None:
        self._ready_file = ready_file
        self._port: int | None = None
        self._channel: grpc.aio.Channel | None = None

    async def answers(self, seconds: float) -> bool:
        """Whether the process answers within that time. Any state counts as an answer, as a draining process is alive."""
        channel = await self._connected()
        if channel is None:
            return False
        try:
            await HealthStub(channel).Check(HealthCheckRequest(), timeout=seconds)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def _connected(self) -> grpc.aio.Channel | None:
        try:
            facts: dict[str, Any] = json.loads(self._ready_file.read_text())
            port = int(facts["health_port"])
        except (OSError, ValueError, KeyError):
            return None
        if port != self._port:
            await self.close()
            self._port, self._channel = port, grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        return self._channel

    async def close(self) -> None:
        channel, self._channel, self._port = self._channel, None, None
        if channel is not None:
            await channel.close()
