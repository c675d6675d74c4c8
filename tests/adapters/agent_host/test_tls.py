"""An agent host with TLS: which client certificates are accepted, and how the host's own certificate is replaced while it serves."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from deploy.local.secrets.certs import DevelopmentAuthority, issue_all
from deploy.local.secrets.secret_files import write_private
from mesh.rpc.status import error_of
from mesh.security import keys
from mesh.security.call_tokens import CallTokenSigner
from mesh.security.certificates import CERTIFICATE, KEY
from mesh.security.identities import AGENT_HOST, GATEWAY, ORCHESTRATOR, WORKER
from tests.adapters.agent_host.conftest import failure_of
from tests.adapters.agent_host.running import Host, agent_id, running_host, write_agent
from tests.adapters.agent_host.test_process import refusal
from tests.adapters.simulator.conftest import Simulator
from tests.support.call_tokens import PRIVATE_KEY, call_token
from tests.support.tls import certificate_at, client_channel
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Secured:
    """A host reachable from elsewhere, the authority of its mesh, and another authority."""

    host: Host
    simulator: Simulator
    authority: DevelopmentAuthority
    other_authority: DevelopmentAuthority

    def folder(self, identity: str) -> Path:
        return self.authority.folder_of(identity)

    def channel(self, shown: Path | None) -> grpc.aio.Channel:
        """A client that trusts the host and presents the certificate in `shown`, or none."""
        return client_channel(self.host.port(1), AGENT_HOST, self.folder(AGENT_HOST), shown)

    async def bought(self, call: str) -> bool:
        return bool(await self.simulator.entries(call))


@pytest.fixture(scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> AsyncIterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, other_authority = issue_all(folder / "certs"), issue_all(folder / "other_authority")
    definitions = folder / "definitions"
    definitions.mkdir()
    for number in (1, 2):
        write_agent(definitions, number)
    own = str(authority.folder_of(AGENT_HOST))
    async with running_host(folder, definitions, provider.url, (1, 2), HOST_ADDRESS="0.0.0.0", MESH_TLS_DIR=own) as host:
        yield Secured(host, provider, authority, other_authority)


def execute(channel: grpc.aio.Channel, call: str, issuer: str = ORCHESTRATOR) -> Any:
    token = call_token(agent_id(1), call, CallTokenSigner(keys.read_private(PRIVATE_KEY), issuer))
    request = pb.ExecuteRequest(agent_id=agent_id(1), input=call, execution_id=call)
    return AgentServiceStub(channel).Execute(request, metadata=token, timeout=20)


@pytest.mark.parametrize("identity", [ORCHESTRATOR, WORKER])
async def test_orchestrator_and_worker_call_agents(secured: Secured, identity: str) -> None:
    async with secured.channel(secured.folder(identity)) as channel:
        assert (await execute(channel, uuid.uuid4().hex, identity)).agent_name == "Helper 1"


@pytest.mark.parametrize("identity", [GATEWAY, AGENT_HOST])
async def test_another_service_of_the_mesh_may_describe_but_not_call(secured: Secured, identity: str) -> None:
    call = uuid.uuid4().hex
    async with secured.channel(secured.folder(identity)) as channel:
        error = await failure_of(execute(channel, call))
        assert (error.reason, identity in error.message) == ("AUTH_INVALID_CREDENTIALS", True)
        assert (await AgentServiceStub(channel).Describe(pb.DescribeRequest())).agent.agent_id == agent_id(1)
        assert (await HealthStub(channel).Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING
    assert not await secured.bought(call)


async def test_a_token_is_valid_only_with_the_certificate_of_its_issuer(secured: Secured) -> None:
    call = uuid.uuid4().hex
    async with secured.channel(secured.folder(WORKER)) as channel:
        error = await failure_of(execute(channel, call, ORCHESTRATOR))
    assert (error.reason, WORKER in error.message) == ("AUTH_INVALID_CREDENTIALS", True)
    assert not await secured.bought(call)


async def test_a_certificate_does_not_replace_the_token(secured: Secured) -> None:
    async with secured.channel(secured.folder(ORCHESTRATOR)) as channel:
        error = await failure_of(AgentServiceStub(channel).Execute(pb.ExecuteRequest(input="x")))
    assert error.reason == "AUTH_INVALID_CREDENTIALS"


@pytest.mark.parametrize("client", ["plaintext", "without a certificate", "of another authority", "expired"])
async def test_a_client_without_a_certificate_of_the_mesh_gets_no_connection(secured: Secured, client: str, tmp_path: Path) -> None:
    call = uuid.uuid4().hex
    if client == "plaintext":
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{secured.host.port(1)}")
    elif client == "expired":
        channel = secured.channel(expired(secured, tmp_path))
    else:
        channel = secured.channel(secured.other_authority.folder_of(ORCHESTRATOR) if client == "of another authority" else None)
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await execute(channel, call)
    assert (failed.value.code(), error_of(failed.value)) == (grpc.StatusCode.UNAVAILABLE, None)
    assert not await secured.bought(call)


def expired(secured: Secured, folder: Path) -> Path:
    """A folder with a certificate of the orchestrator that expired a minute ago."""
    for name in ("ca.crt", "ca.key"):
        (folder / name).write_bytes((secured.folder(ORCHESTRATOR).parent / name).read_bytes())
    return DevelopmentAuthority(folder).issue(ORCHESTRATOR, lifetime=timedelta(minutes=-1))


async def test_a_client_refuses_a_server_with_the_certificate_of_another_service(secured: Secured) -> None:
    """The client compares the server's certificate with the service that it intends to call."""
    own = secured.folder(ORCHESTRATOR)
    async with client_channel(secured.host.port(1), ORCHESTRATOR, own, own) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await execute(channel, uuid.uuid4().hex)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_new_certificate_is_used_on_every_port_without_a_restart_and_calls_continue(secured: Secured) -> None:
    client, ports = secured.folder(ORCHESTRATOR), [secured.host.port(number) for number in (1, 2)]
    before = [(await certificate_at(port, client)).serial_number for port in ports]
    assert before[0] == before[1]
    async with secured.channel(client) as channel:
        assert (await execute(channel, uuid.uuid4().hex)).agent_name
        secured.authority.issue(AGENT_HOST)

        async def renewed() -> bool:
            now = {(await certificate_at(port, client)).serial_number for port in ports}
            return len(now) == 1 and before[0] not in now

        await eventually(renewed)
        assert (await execute(channel, uuid.uuid4().hex)).agent_name
    async with secured.channel(client) as channel:
        assert (await execute(channel, uuid.uuid4().hex)).agent_name


async def test_mismatched_certificate_files_are_ignored_and_logged(secured: Secured) -> None:
    client, folder, port = secured.folder(ORCHESTRATOR), secured.folder(AGENT_HOST), secured.host.port(1)
    before = (await certificate_at(port, client)).serial_number
    key = (folder / KEY).read_text()
    write_private(folder / KEY, (client / KEY).read_text())

    async def is_logged() -> bool:
        await certificate_at(port, client)
        return any(line["event"] == "certificates_not_reloaded" and "does not belong to" in line["why"] for line in secured.host.logged())

    await eventually(is_logged)
    assert (await certificate_at(port, client)).serial_number == before
    write_private(folder / KEY, key)


@pytest.mark.parametrize(
    ("service", "removed", "message"),
    [
        (GATEWAY, "", f"tls.crt is for {GATEWAY}, not for {AGENT_HOST}"),
        (AGENT_HOST, CERTIFICATE, "tls.crt: No such file or directory"),
    ],
    ids=["of another service", "not there"],
)
async def test_a_host_without_its_own_certificate_does_not_start(tmp_path: Path, service: str, removed: str, message: str) -> None:
    folder = issue_all(tmp_path).folder_of(service)
    if removed:
        (folder / removed).unlink()
    code, errors = await refusal({"ANTHROPIC_API_KEY": "any", "HOST_ADDRESS": "0.0.0.0", "MESH_TLS_DIR": str(folder)})
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"agent_server: MESH_TLS_DIR={folder} cannot be used: {message}")
