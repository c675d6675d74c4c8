"""The whole platform on this machine: built from its settings, started, watched and stopped."""

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import TypeAdapter

from deploy.local.errors import LaunchError
from deploy.local.limits import raise_descriptor_limit
from deploy.local.ports import LocalPorts
from deploy.local.programs import Programs, Provider
from deploy.local.secrets import certs
from deploy.local.secrets.credentials import Credentials, FirstLogin
from deploy.local.servers.envoy import EnvoyServer
from deploy.local.servers.kafka import KafkaServer
from deploy.local.servers.postgres import PostgresServer
from deploy.local.servers.redis import RedisServer
from deploy.local.state import StateFolder
from deploy.local.supervision.leftovers import end_leftovers
from deploy.local.supervision.probe import http_status
from deploy.local.supervision.process import Process
from deploy.local.supervision.supervisor import Report, Supervisor
from deploy.local.supervision.waiting import holds_within
from gateway.envoy.origins import origins
from gateway.envoy.render import GatewaySettings, render_bootstrap, write_sds
from mesh.security.identities import GATEWAY, service_of
from mesh.tasks import BackgroundTasks

DATABASE = "agentmesh"
GATEWAY_SECONDS = 20
LIVENESS_SECONDS = 30.0
"""A process that has not answered its health check for so long is killed and restarted."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


def silent(_: str) -> None:
    """Discards reports."""


@dataclass(frozen=True)
class DisabledPort:
    """An agent port that could not be opened."""

    port: int
    agents: Sequence[str]
    why: str


@dataclass(frozen=True)
class ServedAgents:
    """The agents and ports in the ready files of the agent hosts."""

    agents: int
    ports: int
    disabled: Sequence[DisabledPort]

    @classmethod
    def of(cls, facts: Sequence[Mapping[str, Any]]) -> "ServedAgents":
        """The sum over the ready files of all hosts."""
        disabled = [DisabledPort(one["port"], one["agents"], one["why"]) for host in facts for one in host["disabled"]]
        return cls(sum(host["agents"] for host in facts), sum(host["ports"] for host in facts), disabled)


class Stack:
    """PostgreSQL, Redis, the simulator, agent hosts, orchestrators, workers and the gateway, in one folder, at one port offset.

    `environment` overrides the settings of the mesh's programs, `gateway` sets fields of GatewaySettings. Without a `provider` the
    simulator answers, even if the launcher's environment has a key. Everything is ready when `start` returns. With `tls` the services
    use mTLS with certificates that are issued at each start. With `kafka` events go to a broker, and a consumer counts them. A process
    that has not answered its health check for `liveness_seconds` is killed and restarted. Raises LaunchError for invalid arguments.
    """

    def __init__(
        self,
        state: Path,
        port_offset: int = 0,
        shards: int = 1,
        definitions: Path | None = None,
        environment: Mapping[str, str] = NOTHING,
        *,
        orchestrators: int = 1,
        workers: int = 1,
        tls: bool = False,
        kafka: bool = False,
        provider: Provider | None = None,
        gateway: Mapping[str, Any] = NOTHING,
        report: Report = silent,
        liveness_seconds: float = LIVENESS_SECONDS,
        tasks: BackgroundTasks | None = None,
    ) -> None:
        self.tasks = tasks or BackgroundTasks()
        """The watchers of the processes."""
        self.ports = LocalPorts.at(port_offset, shards, orchestrators, workers)
        self.state = StateFolder(state.resolve())
        self.state.create()
        self.simulated = provider is None
        self._report = report
        self._lifetime = AsyncExitStack()
        self._postgres = PostgresServer(self.state.folder("postgres"), self.ports.postgres, traces=self.state.traces("postgres"))
        self._redis = RedisServer(self.state.folder("redis"), self.ports.redis, traces=self.state.traces("redis"))
        bootstrap = partial(self._bootstrap, {**_gateway_settings({**os.environ, **environment}), **gateway})
        self._envoy = EnvoyServer(self.state.folder("envoy"), self.ports.envoy_admin, bootstrap, traces=self.state.traces("envoy"))
        own = {"DEFINITIONS_PATH": str(definitions)} if definitions else {}
        simulator = Provider.simulator(self.ports.simulator)
        self.certificates = self.state.folder("certs") if tls else None
        programs = Programs(self.state, self.ports, provider or simulator, {**own, **environment}, self.certificates)
        self.credentials = Credentials(self.state.path)
        self.first_login: FirstLogin | None = None
        """The login of the first administrator, if this start created it."""
        self._accounts_environment = programs.accounts_environment()
        self._agent_hosts = [programs.agent_host(shard) for shard in range(shards)]
        self._simulator_log = programs.simulator_log
        self.call_keys = programs.call_keys
        self.gateway_secret = programs.gateway_secret
        self._preparing = asyncio.Lock()
        self._kafka = self._make_kafka() if kafka else None
        brokers = [self._kafka.process] if self._kafka else []
        servers = [self._postgres.process, self._redis.process, *brokers, *([programs.simulator()] if self.simulated else [])]
        ours = [
            *(programs.orchestrator(number, self._prepare_orchestrator) for number in range(orchestrators)),
            *(programs.worker(number, self._make_database) for number in range(workers)),
            *([programs.consumer(self._make_database)] if self._kafka else []),
        ]
        self._supervisor = Supervisor([servers, self._agent_hosts, ours, [self._envoy.process]], report, self.tasks, liveness_seconds)

    async def start(self) -> None:
        """Starts everything and waits until the gateway reports the platform ready. Stops everything if that fails."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops everything, the gateway first and the databases last."""
        await self._lifetime.aclose()

    def kill(self) -> None:
        """Kills every process; PostgreSQL and Redis recover at the next start. A `stop` in progress then returns at once."""
        self._supervisor.kill()

    def erase(self) -> None:
        """Deletes the data of a stopped stack."""
        self._postgres.erase()
        shutil.rmtree(self.state.path, ignore_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def process(self, name: str) -> Process:
        """The process of that name: postgres, agents-<shard>, orchestrator, orchestrator-1, … Raises KeyError for other names."""
        return self._supervisor.process(name)

    @property
    def gateway_url(self) -> str:
        """The gateway's address for REST, gRPC and gRPC-Web."""
        return f"http://localhost:{self.ports.gateway}"

    @property
    def console_folder(self) -> Path:
        """The folder from which the gateway serves the web console, once one is published there."""
        return self.state.folder("console")

    @property
    def orchestrator_target(self) -> str:
        """The address of the first orchestrator for gRPC clients that bypass the gateway."""
        return f"localhost:{self.ports.orchestrator}"

    @property
    def database_url(self) -> str:
        """The `DATABASE_URL` of the stack, once it has been started."""
        return self._postgres.url(DATABASE)

    @property
    def redis_url(self) -> str:
        """The `REDIS_URL` of the stack, once it has been started."""
        return self._redis.url()

    @property
    def simulator_url(self) -> str:
        """The address of the simulator and of its control endpoints."""
        return f"http://127.0.0.1:{self.ports.simulator}"

    @property
    def simulator_log(self) -> Path:
        """The requests that the simulator answered, one JSON object per line."""
        return self._simulator_log

    @property
    def kafka(self) -> KafkaServer | None:
        """The broker, if there is one."""
        return self._kafka

    def served(self) -> ServedAgents:
        """What the agent hosts served when they last became ready."""
        return ServedAgents.of([json.loads(self.state.ready_file(host.name).read_text()) for host in self._agent_hosts])

    async def _start(self) -> None:
        facts = {"gateway": self.gateway_url, "orchestrator": self.orchestrator_target}
        self._lifetime.enter_context(self.state.locked(facts))
        await end_leftovers(self.state.path / "run")
        self.ports.refuse_taken()
        raise_descriptor_limit()
        self.state.rotate_logs()
        self.call_keys.make()
        self.gateway_secret.make()
        if self.certificates is not None:
            certs.issue_all(self.certificates)
        self._lifetime.push_async_callback(self._supervisor.stop)
        await self._supervisor.start()
        await self._gateway_answers()

    async def _gateway_answers(self) -> None:
        async def ready() -> bool:
            return await http_status(self.ports.gateway, "/ready") == 200

        if not await holds_within(GATEWAY_SECONDS, ready):
            raise LaunchError(
                f"{self.gateway_url}/ready did not answer 200 within {GATEWAY_SECONDS} s; see the logs in {self.state.path / 'logs'}"
            )

    async def _make_database(self) -> Mapping[str, str]:
        """The addresses of the servers, which are known once they have passwords."""
        brokers = {"KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers} if self._kafka else {}
        return {"DATABASE_URL": await self._postgres.create_database(DATABASE), "REDIS_URL": self._redis.url(), **brokers}

    async def _prepare_orchestrator(self) -> Mapping[str, str]:
        """The same, and the secret that signs access tokens. Before anyone can register, the first administrator has an account."""
        found = await self._make_database()
        async with self._preparing:
            login = await self.credentials.prepare({**self._accounts_environment, **found})
            self.first_login = self.first_login or login
        return {**found, "JWT_SECRET": self.credentials.jwt_secret()}

    def _make_kafka(self) -> KafkaServer:
        ports = self.ports
        return KafkaServer(self.state.folder("kafka"), ports.kafka, ports.kafka_controller, traces=self.state.traces("kafka"))

    def _bootstrap(self, overrides: Mapping[str, Any]) -> str:
        settings = GatewaySettings(
            gateway_port=self.ports.gateway,
            admin_port=self.ports.envoy_admin,
            orchestrators=tuple(("127.0.0.1", port) for port in self.ports.orchestrators),
            access_log_path=self.state.log("envoy.access"),
            gateway_secret_file=self.gateway_secret.path,
            tls_dir=self.certificates and self.certificates / service_of(GATEWAY),
            sds_dir=self.state.folder("envoy") / "sds",
            console_path=self.console_folder,
        )
        write_sds(settings)
        return render_bootstrap(replace(settings, **overrides))


def _gateway_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings of the gateway that the environment has: limits, CORS_ORIGINS, tracing. Raises LaunchError for an invalid value."""
    given = {name: environment[name.upper()] for name in _GATEWAY_LIMITS if name.upper() in environment}
    if wrong := [f"{name.upper()}={value}" for name, value in given.items() if not value.isdecimal()]:
        raise LaunchError(f"invalid {wrong[0]}: use a whole number")
    try:
        allowed = origins(environment.get("CORS_ORIGINS", ""))
    except ValueError as error:
        raise LaunchError(f"CORS_ORIGINS has an {error}") from None
    tracing = {name: environment[name.upper()] for name in _GATEWAY_TRACING if name.upper() in environment}
    try:
        traces = TypeAdapter(GatewaySettings).validate_python(tracing)
        _ = traces.collector
    except ValueError as error:
        raise LaunchError(f"invalid settings of tracing: {error}") from None
    traced = {name: getattr(traces, name) for name in tracing}
    return {"cors_origins": allowed, **traced} | {name: int(value) for name, value in given.items()}


_GATEWAY_TRACING = [field.name for field in fields(GatewaySettings) if field.name.startswith(("otel_", "trust_trace_"))]
_GATEWAY_LIMITS = [field.name for field in fields(GatewaySettings) if field.name.startswith("limit_")]
