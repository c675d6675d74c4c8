"""A mesh with TLS: the orchestrator reaches its agents, users reach it with and without certificates, and certificates can be renewed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import grpc
import pytest
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from deploy.local.secrets.certs import DevelopmentAuthority, issue_all
from mesh.security.identities import AGENT_HOST, GATEWAY, ORCHESTRATOR
from tests.adapters.agent_host.running import ALONE, CHECKED, FIRST, Host, agent_id, running_host
from tests.adapters.simulator.conftest import Simulator
from tests.conftest import CreateDatabase
from tests.rpc.orchestrator.conftest import write_definitions
from tests.rpc.orchestrator.process.test_process import refusal
from tests.rpc.orchestrator.running import Mesh, Orchestrator, running_orchestrator
from tests.support.tls import certificate_at, client_channel, trust
from tests.support.waiting import eventually


@dataclass
class SecuredMesh(Mesh):
    """The mesh and the authority that signs its certificates."""

    authority: DevelopmentAuthority

    @property
    def processes(self) -> dict[str, Orchestrator | Host]:
        return {ORCHESTRATOR: self.orchestrator, AGENT_HOST: self.host}

    def reloads(self, identity: str) -> int:
        """How often a process has logged that it loaded new certificates."""
        return self.processes[identity].log.read_text().count('"certificates_reloaded"')

    async def renew(self, authority: DevelopmentAuthority, *trusted: DevelopmentAuthority) -> None:
        """Gives both processes certificates of an authority and roots to trust, and returns once they have loaded them."""
        before = {identity: self.reloads(identity) for identity in self.processes}
        for identity in self.processes:
            own = self.authority.folder_of(identity)
            trust(own, *trusted)
            fresh = authority.issue(identity)
            for name in ("tls.key", "tls.crt"):
                if fresh != own:
                    (own / name).write_bytes((fresh / name).read_bytes())
            trust(own, *trusted)

        async def taken() -> bool:
            assert (await self.call().execute()).result
            with contextlib.suppress(OSError):  # a server checks its files when a client connects
                (await asyncio.open_connection("127.0.0.1", self.host.port(ALONE)))[1].close()
            return all(self.reloads(identity) > count for identity, count in before.items())

        await eventually(taken)


@pytest.fixture(scope="module")
async def secured(
    tmp_path_factory: pytest.TempPathFactory, provider: Simulator, create_database: CreateDatabase, redis_url: str
) -> AsyncIterator[SecuredMesh]:
    folder = tmp_path_factory.mktemp("secured")
    authority = issue_all(folder / "certs")
    definitions = write_definitions(folder / "definitions")
    for name in ("host", "orchestrator"):
        (folder / name).mkdir()
    url = await create_database("secured")
    own = str(authority.folder_of(AGENT_HOST))
    async with running_host(folder / "host", definitions, provider.url, (ALONE, FIRST, CHECKED), MESH_TLS_DIR=own) as host:
        settings = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "DEFINITIONS_PATH": str(definitions),
            "PORT_OFFSET": str(host.offset),
            "HOST_ADDRESS": "0.0.0.0",
            "MESH_TLS_DIR": str(authority.folder_of(ORCHESTRATOR)),
        }
        async with running_orchestrator(folder / "orchestrator", **settings) as orchestrator:
            db = await asyncpg.connect(url.replace("+asyncpg", ""))
            yield SecuredMesh(orchestrator, host, provider, db, authority)
            await db.close()


async def test_a_user_without_a_certificate_calls_an_agent_through_both_hops(secured: SecuredMesh) -> None:
    assert (await secured.call().execute()).agent_name
    health = await secured.orchestrator.registry.CheckAgentHealth(registry.CheckAgentHealthRequest(agent_id=agent_id(ALONE)))
    assert "SERVING" in str(health)


async def test_plaintext_does_not_reach_the_orchestrator(secured: SecuredMesh) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{secured.orchestrator.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await RegistryServiceStub(channel).ListAgents(registry.ListAgentsRequest())
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_cancelled_call_ends_at_the_agent_after_certificates_changed(secured: SecuredMesh) -> None:
    call = secured.call()
    await call.fault("hang")
    execute = call.execute()
    waiting = asyncio.ensure_future(execute)
    await eventually(call.asked)
    await secured.renew(secured.authority, secured.authority)
    execute.cancel()
    await asyncio.wait([waiting])
    settled = await call.settled()
    assert settled["status"] == "cancelled"
    assert (await call.purchases())[0]["outcome"] == "client_gone"


async def test_the_whole_mesh_changes_its_authority_without_a_restart_and_no_call_fails(secured: SecuredMesh, tmp_path: Path) -> None:
    """Trust both authorities, then change the certificates, then trust only the new one: from then on old certificates are refused."""
    old, new = secured.authority, issue_all(tmp_path)
    slow = secured.call()
    await slow.fault("delay", 4_000)
    under_way = asyncio.ensure_future(slow.execute())
    await eventually(slow.asked)
    await secured.renew(old, old, new)
    await secured.renew(new, old, new)
    await secured.renew(new, new)
    assert (await under_way).result
    assert (await secured.call().execute()).result
    port = secured.host.port(ALONE)
    new.issue(ORCHESTRATOR)
    shown = await certificate_at(port, new.folder_of(ORCHESTRATOR))
    assert shown.issuer == new.certificate.subject
    async with client_channel(port, AGENT_HOST, new.folder_of(AGENT_HOST), old.folder_of(GATEWAY)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await HealthStub(channel).Check(HealthCheckRequest())
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_without_tls_an_orchestrator_listens_only_on_loopback(redis_url: str) -> None:
    settings = {"DATABASE_URL": "postgresql+asyncpg://u:p@localhost/x", "REDIS_URL": redis_url, "HOST_ADDRESS": "0.0.0.0"}
    code, errors = await refusal(settings)
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith("orchestrator: HOST_ADDRESS=0.0.0.0 is not an IPv4 loopback address")
    code, errors = await refusal({**settings, "MESH_TLS_DIR": "/nowhere"})
    assert (code, errors.count("\n")) == (2, 1)
    assert "MESH_TLS_DIR=/nowhere cannot be used" in errors
