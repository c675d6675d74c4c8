"""A real orchestrator process, and the calls that tests make to it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import grpc
import jwt
from agentmesh.event.v1.event_service_pb2_grpc import EventServiceStub
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.execution.v1.execution_pb2 import Execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from agentmesh.health.v1.health_service_pb2_grpc import HealthServiceStub
from agentmesh.identity.v1 import identity_service_pb2 as identity
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from deploy.local.lifted_limits import LIFTED
from mesh.errors import RemoteError
from mesh.rpc.channel import CHANNEL_OPTIONS
from mesh.rpc.status import error_of
from mesh.security.identities import ORCHESTRATOR
from tests.adapters.agent_host.running import Host, agent_id, announced
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.simulator.conftest import Simulator
from tests.support.call_tokens import PRIVATE_KEY
from tests.support.credentials import authorized
from tests.support.tls import client_channel
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from agentmesh.event.v1.event_service_pb2_grpc import EventServiceAsyncStub
    from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub
    from agentmesh.health.v1.health_service_pb2_grpc import HealthServiceAsyncStub
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceAsyncStub
    from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

JWT_SECRET = "Xk8vQ2m-Zr5tYw1p_Lb9cNd7gHs3jUf6aEo0iTq4"
USER, PASSWORD = "tester", "correct horse battery"


@dataclass
class Orchestrator:
    """A running orchestrator; its channel authenticates as the user `tester`."""

    process: asyncio.subprocess.Process
    port: int
    log: Path
    token: str
    anonymous: grpc.aio.Channel
    channel: grpc.aio.Channel = field(init=False)
    events: "EventServiceAsyncStub" = field(init=False)
    executions: "ExecutionServiceAsyncStub" = field(init=False)
    registry: "RegistryServiceAsyncStub" = field(init=False)
    health: "HealthServiceAsyncStub" = field(init=False)

    def __post_init__(self) -> None:
        self.channel = authorized(self.anonymous, self.token)
        self.events = EventServiceStub(self.channel)
        self.executions = ExecutionServiceStub(self.channel)
        self.registry = RegistryServiceStub(self.channel)
        self.health = HealthServiceStub(self.channel)

    @property
    def user_id(self) -> int:
        """The user of the channel."""
        return int(jwt.decode(self.token, options={"verify_signature": False})["sub"])

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one kind of event. Lines of gRPC's core go directly to standard error and are not JSON."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line["event"] == event]

    async def stop(self) -> int:
        """Stops the process and returns its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(40):
            return await self.process.wait()


async def start_orchestrator(folder: Path, **settings: str) -> Orchestrator:
    """Starts an orchestrator with `folder` for its files, and returns it once it is ready."""
    ready, log_file = folder / "ready.json", folder / "log.jsonl"
    own = {"ORCHESTRATOR_PORT": "0", "READY_FILE": str(ready), "DRAIN_NOTICE_SECONDS": "0.1"}
    environment = {
        **os.environ,
        **LIFTED,
        "LIMIT_LOGINS": "1000000000",
        **own,
        "CALL_TOKEN_PRIVATE_KEY": PRIVATE_KEY,
        "JWT_SECRET": JWT_SECRET,
        "BCRYPT_ROUNDS": "4",
        **settings,
    }
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orchestrator.processes.orchestrator", env=environment, stderr=log
        )

    await announced(process, ready, log_file)
    port = json.loads(ready.read_text())["port"]
    channel = anonymous_channel(port, settings.get("MESH_TLS_DIR"))
    return Orchestrator(process, port, log_file, await logged_in(channel), channel)


def anonymous_channel(port: int, tls_dir: str | None = None) -> grpc.aio.Channel:
    """A connection of its own; with TLS, but without a client certificate, if the orchestrator has a folder of certificates."""
    if tls_dir is not None:
        return client_channel(port, ORCHESTRATOR, Path(tls_dir), None)
    own = ("grpc.use_local_subchannel_pool", 1)
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=(*CHANNEL_OPTIONS, own))


async def logged_in(channel: grpc.aio.Channel, username: str = USER) -> str:
    """An access token of the user, who is registered first if necessary."""
    auth: AuthServiceAsyncStub = AuthServiceStub(channel)
    try:
        await auth.Register(identity.RegisterRequest(username=username, password=PASSWORD))
    except grpc.aio.AioRpcError as failure:
        if documented_error(failure).reason not in ("USERNAME_TAKEN", "REGISTRATION_CLOSED"):
            raise
    return (await auth.Login(identity.LoginRequest(username=username, password=PASSWORD))).access_token


@contextlib.asynccontextmanager
async def running_orchestrator(folder: Path, **settings: str) -> AsyncIterator[Orchestrator]:
    """An orchestrator that is stopped at the end; it must exit with 0 and must not have logged an unexpected error."""
    orchestrator = await start_orchestrator(folder, **settings)
    try:
        yield orchestrator
    finally:
        await orchestrator.channel.close()
        code = await orchestrator.stop()
    assert code == 0
    assert "Traceback" not in orchestrator.log.read_text()
    assert [*orchestrator.logged("unexpected_error"), *orchestrator.logged("call_failed")] == []


@dataclass
class Mesh:
    """An orchestrator, an agent host, the provider and the books."""

    orchestrator: Orchestrator
    host: Host
    provider: Simulator
    db: Connection

    def call(self, number: int = 1) -> "Call":
        """A new call to the agent with this number."""
        return Call(self, number)


@dataclass
class Call:
    """One call with a unique name in its input, so that faults and entries in the provider's log belong to this call alone."""

    mesh: Mesh
    number: int = 1
    name: str = field(default_factory=lambda: uuid4().hex)

    @property
    def request_id(self) -> str:
        return f"req_{self.name}"

    @property
    def input(self) -> str:
        return f"Please plan the migration of 40 services. Where do we begin? {self.name}"

    def execute(self, timeout: float | None = 30, metadata: tuple[tuple[str, str], ...] = (), **fields: Any) -> Any:
        request = pb.ExecuteAgentRequest(**({"agent_id": agent_id(self.number), "input": self.input} | fields))
        known = (("x-request-id", self.request_id), *metadata)
        return self.mesh.orchestrator.executions.ExecuteAgent(request, timeout=timeout, metadata=known)

    def stream(self, timeout: float | None = 30, metadata: tuple[tuple[str, str], ...] = (), **fields: Any) -> Any:
        request = pb.StreamAgentRequest(**({"agent_id": agent_id(self.number), "input": self.input} | fields))
        known = (("x-request-id", self.request_id), *metadata)
        return self.mesh.orchestrator.executions.StreamAgent(request, timeout=timeout, metadata=known)

    async def fault(self, name: str, argument: int | None = None, count: int | None = None) -> None:
        """Injects a fault at the provider for this call and no other."""
        await self.mesh.provider.fault(name, argument, count, input_contains=self.name)

    async def rows(self) -> list[asyncpg.Record]:
        """The rows of the call in the books, oldest first."""
        return await self.mesh.db.fetch("SELECT * FROM executions WHERE request_id = $1 ORDER BY execution_id", self.request_id)

    async def settled(self) -> asyncpg.Record:
        """The only execution of the call, once it is settled and has its only event."""

        async def found() -> asyncpg.Record | None:
            rows = await self.rows()
            assert len(rows) <= 1
            return rows[0] if rows and rows[0]["status"] != "running" else None

        row: asyncpg.Record = await eventually(found)
        events = await self.mesh.db.fetch("SELECT data FROM outbox WHERE metadata ->> 'request_id' = $1", self.request_id)
        (event,) = (json.loads(row["data"]) for row in events)
        assert (event["execution_id"], event["status"], event["cost_micro_usd"]) == (
            str(row["execution_id"]),
            row["status"],
            row["cost_micro_usd"],
        )
        return row

    async def asked(self) -> bool:
        """Whether the provider has received the request."""
        return bool(await self.purchases())

    async def purchases(self) -> list[dict[str, Any]]:
        """The provider's entries for the call: one for each request, in its current state."""
        ids = [str(row["execution_id"]) for row in await self.rows()]
        return [entries[-1] for one in ids if (entries := await self.mesh.provider.entries(one))]

    async def record(self, execution_id: str) -> Execution:
        """The execution as its owner reads it."""
        answer = await self.mesh.orchestrator.executions.GetExecution(pb.GetExecutionRequest(execution_id=execution_id))
        return answer.execution


@dataclass(frozen=True)
class Streamed:
    """The events of a stream and its failure."""

    events: list[pb.StreamAgentResponse]
    failure: grpc.aio.AioRpcError | None

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events, with consecutive deltas as one."""
        kinds = [str(event.WhichOneof("event")) for event in self.events]
        return [kind for place, kind in enumerate(kinds) if kind != "delta" or kinds[place - 1 : place] != ["delta"]]

    @property
    def text(self) -> str:
        return "".join(event.delta.text for event in self.events)


async def read(stream: Any) -> Streamed:
    """Reads a whole stream; its sequences must run from 1 without gaps."""
    events: list[pb.StreamAgentResponse] = []
    failure = None
    try:
        async for event in stream:
            events.append(event)
    except grpc.aio.AioRpcError as error:
        failure = error
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    return Streamed(events, failure)


async def failure_of(call: Any) -> RemoteError:
    """The documented error of a failed call."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as failure:
        return documented_error(failure)
    raise AssertionError(f"the call did not fail: {answer}")


def documented_error(failure: BaseException | None) -> RemoteError:
    """The documented error in an exception."""
    assert isinstance(failure, grpc.aio.AioRpcError), failure
    error = error_of(failure)
    assert error is not None, failure
    return error
