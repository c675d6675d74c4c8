"""The whole platform on this machine, as its users see it over REST and gRPC, together with the provider's log."""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import httpx

from deploy.local.lifted_limits import LIFTED
from deploy.local.stack import Stack
from mesh.security import keys
from mesh.security.call_tokens import CallTokenSigner
from mesh.security.identities import ORCHESTRATOR
from tests.e2e.definitions import AGENT, write_definitions
from tests.e2e.provider import Provider
from tests.support.call_tokens import call_token
from tests.support.credentials import authorized, bearer
from tests.support.ports import free_port_offset
from tests.support.waiting import eventually

RUNNING = "EXECUTION_STATUS_RUNNING"


def question() -> str:
    """A unique question."""
    return f"Which three things would you look at first, and why in that order? (case {secrets.token_hex(6)})"


@dataclass(frozen=True)
class Platform:
    """A running stack and its clients."""

    stack: Stack
    definitions: Path
    http: httpx.AsyncClient
    """The REST client of the first administrator, as are the channels."""
    gateway: grpc.aio.Channel
    orchestrator: grpc.aio.Channel
    anonymous: httpx.AsyncClient
    """The REST client without credentials, as are `anonymous_channels`."""
    anonymous_channels: Mapping[str, grpc.aio.Channel]
    """`gateway` and `orchestrator`."""
    provider: Provider

    async def execute(self, text: str, *, agent_id: str = AGENT, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Execute an agent over REST."""
        return await self.http.post(f"/api/v1/agents/{agent_id}/execute", json={"input": text, **fields}, headers=headers)

    async def execution(self, execution_id: str) -> dict[str, Any]:
        """An execution as recorded in the books."""
        response = await self.http.get(f"/api/v1/executions/{execution_id}")
        assert response.status_code == 200, response.text
        return dict(response.json()["execution"])

    async def settled(self, execution_id: str) -> dict[str, Any]:
        """The execution, once it has ended."""

        async def ended() -> dict[str, Any] | None:
            execution = await self.execution(execution_id)
            return None if execution["status"] == RUNNING else execution

        execution = await eventually(ended)
        assert execution is not None
        return execution

    def call_token(self, agent_id: str, execution_id: str = "") -> tuple[tuple[str, str], ...]:
        """Metadata with which a test calls an agent on its own port, as the orchestrator does."""
        key = keys.read_private(self.stack.call_keys.private.read_text())
        return call_token(agent_id, execution_id, CallTokenSigner(key, ORCHESTRATOR))

    def log_lines(self, process: str, request_id: str) -> list[dict[str, Any]]:
        """The lines that a process has logged about a request."""
        lines = self.stack.state.log(process).read_text().splitlines()
        return [json.loads(line) for line in lines if f'"{request_id}"' in line]

    async def ready(self) -> bool:
        """Whether every component is available, the agent that tests call is serving, and the books can be read.

        /ready alone is not enough: it is cached for a second.
        """
        with contextlib.suppress(httpx.TransportError):
            paths = "/ready", f"/api/v1/agents/{AGENT}/health", "/api/v1/executions?page_size=1"
            ready, health, books = [await self.http.get(path) for path in paths]
            return '"status":"ready"' in ready.text and "_STATUS_SERVING" in health.text and books.status_code == 200
        return False

    async def recovered(self) -> None:
        """Return once the platform accepts calls again after a part of it was stopped."""
        await eventually(self.ready, 60)

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """The rows of a statement on the orchestrator's database."""
        connection = await asyncpg.connect(self.stack.database_url.replace("+asyncpg", ""))
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def running_platform(folder: Path, environment: Mapping[str, str] = LIFTED, **options: Any) -> AsyncIterator[Platform]:
    """A whole platform in `folder`, at a port offset of its own; `options` are those of the Stack."""
    definitions = folder / "definitions"
    write_definitions(definitions)
    async with contextlib.AsyncExitStack() as lifetime:
        offset = lifetime.enter_context(free_port_offset())
        stack = Stack(folder / "state", offset, definitions=definitions, environment=environment, **options)
        lifetime.callback(stack.erase)
        await lifetime.enter_async_context(stack)
        token = stack.credentials.token
        http = await lifetime.enter_async_context(httpx.AsyncClient(base_url=stack.gateway_url, timeout=30, headers=bearer(token)))
        anonymous = await lifetime.enter_async_context(httpx.AsyncClient(base_url=stack.gateway_url, timeout=30))
        control = await lifetime.enter_async_context(httpx.AsyncClient(base_url=stack.simulator_url, timeout=30))
        gateway = await lifetime.enter_async_context(grpc.aio.insecure_channel(f"localhost:{stack.ports.gateway}"))
        orchestrator = await lifetime.enter_async_context(grpc.aio.insecure_channel(stack.orchestrator_target))
        platform = Platform(
            *(stack, definitions, http, authorized(gateway, token), authorized(orchestrator, token)),
            *(anonymous, {"gateway": gateway, "orchestrator": orchestrator}),
            Provider(control, stack.simulator_log),
        )
        await platform.recovered()
        yield platform
