"""TLS between gateway and orchestrator: both authenticate, and certificates are renewed while they run."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agentmesh.registry.v1 import registry_service_pb2 as registry

from deploy.local.secrets.certs import DevelopmentAuthority, issue_all
from deploy.local.supervision.waiting import holds_within
from mesh.security.certificates import TlsFolder
from mesh.security.identities import AGENT_HOST, GATEWAY, ORCHESTRATOR
from mesh.security.tls import ServerTls, peer_identity
from tests.contract.gateway.backend import Backend
from tests.contract.gateway.running import lone_gateway, running_gateway
from tests.support.tls import trust

AGENTS = "/api/v1/agents"


@pytest.fixture
def authority(tmp_path: Path) -> DevelopmentAuthority:
    return issue_all(tmp_path / "certs")


class SecureBackend:
    """An orchestrator with TLS that requires a client certificate and records its identity."""

    def __init__(self, folder: Path, identity: str = ORCHESTRATOR) -> None:
        self.backend = Backend()
        self.callers: list[str | None] = []
        self._tls = ServerTls(TlsFolder(folder, identity), clients_must_show_certificates=True)

    async def __aenter__(self) -> "SecureBackend":
        self.backend.script.answer = self._remember
        await self.backend.start(self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.backend.stop()

    @property
    def port(self) -> int:
        return self.backend.port

    async def restart(self) -> None:
        """Closes every connection, so that the gateway must authenticate again."""
        port = self.backend.port
        await self.backend.stop()
        await self.backend.start(self._tls, port)

    async def _remember(self, request: Any, context: Any) -> Any:
        self.callers.append(peer_identity(context))
        return registry.ListAgentsResponse(total=0)


async def test_both_sides_authenticate(authority: DevelopmentAuthority, tmp_path: Path) -> None:
    async with SecureBackend(authority.folder_of(ORCHESTRATOR)) as backend:
        async with running_gateway(tmp_path, backend.port, tls_dir=authority.folder_of(GATEWAY)) as gateway:
            assert (await gateway.http.get(AGENTS)).status_code == 200
        assert backend.callers == [GATEWAY]


@pytest.mark.parametrize("server", ["another service", "another authority", "plaintext"])
async def test_a_server_with_another_identity_is_not_called(authority: DevelopmentAuthority, tmp_path: Path, server: str) -> None:
    other = issue_all(tmp_path / "other")
    async for backend in serving(server, authority, other):
        async with lone_gateway(tmp_path, backend.port, tls_dir=authority.folder_of(GATEWAY)) as gateway:
            response = await gateway.http.get(AGENTS)
            assert (response.status_code, response.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert backend.script.requests == []


async def serving(server: str, authority: DevelopmentAuthority, other: DevelopmentAuthority) -> AsyncIterator[Backend]:
    """A server at the orchestrator's address with another identity."""
    if server == "plaintext":
        plain = Backend()
        await plain.start()
        yield plain
        await plain.stop()
        return
    identity = AGENT_HOST if server == "another service" else ORCHESTRATOR
    folder = (authority if server == "another service" else other).folder_of(identity)
    async with SecureBackend(folder, identity) as secure:
        yield secure.backend


async def test_the_gateway_loads_new_certificates_and_roots_without_a_restart(authority: DevelopmentAuthority, tmp_path: Path) -> None:
    new = issue_all(tmp_path / "new")
    server, client = authority.folder_of(ORCHESTRATOR), authority.folder_of(GATEWAY)
    async with SecureBackend(server) as backend, running_gateway(tmp_path, backend.port, tls_dir=client) as gateway:
        for folder, identity in ((server, ORCHESTRATOR), (client, GATEWAY)):
            fresh = new.folder_of(identity)
            for name in ("tls.key", "tls.crt"):
                (folder / name).write_bytes((fresh / name).read_bytes())
            trust(folder, new)  # replaces a file, which is what Envoy watches for
        await backend.restart()

        async def listed() -> bool:
            return (await gateway.http.get(AGENTS)).status_code == 200

        assert await holds_within(20, listed)
        assert backend.callers == [GATEWAY]
