"""The programs of the mesh as processes of the local stack: their commands and settings."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.ports import LocalPorts
from deploy.local.secrets.call_keys import CallKeys
from deploy.local.secrets.gateway_secret import GatewaySecret
from deploy.local.state import REPOSITORY, StateFolder
from deploy.local.supervision.liveness import HealthProbe
from deploy.local.supervision.probe import http_status
from deploy.local.supervision.process import Alive, Prepare, Process, ProcessSpec, nothing_to_prepare, ready_file_written
from mesh.security.identities import AGENT_HOST, ORCHESTRATOR, WORKER, service_of

POOL_SIZE, POOL_OVERFLOW = 20, 10
WORKER_POOL_SIZE = 5
"""The worker's writes use connections outside of the pool."""
DRAIN_SECONDS = 10
DECIDED_HERE = (
    *("ANTHROPIC_", "CALL_TOKEN_", "DATABASE_", "GATEWAY_SECRET_FILE", "HEALTH_", "JWT_SECRET", "KAFKA_", "MESH_TLS_DIR"),
    "REDIS_URL",
)
STOP_SECONDS = 15
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Provider:
    """The model provider that the agents call."""

    name: str
    api_key: str = field(repr=False)
    base_url: str | None

    @classmethod
    def simulator(cls, port: int) -> "Provider":
        """The local simulator; it takes any key."""
        return cls("simulator", "simulator", f"http://{LOOPBACK}:{port}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Provider | None":
        """Anthropic if ANTHROPIC_API_KEY is set (at ANTHROPIC_BASE_URL if that is set), otherwise None."""
        key = environment.get("ANTHROPIC_API_KEY", "").strip()
        return cls("anthropic", key, environment.get("ANTHROPIC_BASE_URL") or None) if key else None

    def settings(self) -> dict[str, str]:
        """The environment variables of an agent host that uses it."""
        settings = {"MODEL_PROVIDER": self.name, "ANTHROPIC_API_KEY": self.api_key}
        return {**settings, "ANTHROPIC_BASE_URL": self.base_url} if self.base_url else settings


@dataclass(frozen=True)
class Programs:
    """Makes the processes of one stack; `environment` overrides their settings.

    `certificates` is the folder of the services' certificates; None for a stack without TLS.
    """

    state: StateFolder
    ports: LocalPorts
    provider: Provider
    environment: Mapping[str, str]
    certificates: Path | None = None

    def simulator(self) -> Process:
        """The simulator of the Messages API."""
        settings = {"SIMULATOR_PORT": str(self.ports.simulator), "SIMULATOR_LOG": str(self.simulator_log)}
        return self._process("simulator", "deploy.simulator", settings, prepare=self._make_simulator_folder, alive=self._simulator_answers)

    def agent_host(self, shard: int) -> Process:
        settings = {
            "AGENT_SHARD": str(shard),
            "METRICS_PORT": str(self.ports.agent_metrics[shard]),
            "CALL_TOKEN_PUBLIC_KEY_FILE": str(self.call_keys.public),
            **self._tls(AGENT_HOST),
            **self.provider.settings(),
        }
        return self._process(agent_host_name(shard), "agent_server", settings)

    def orchestrator(self, number: int, prepare: Prepare) -> Process:
        """An orchestrator. It starts after its servers; `prepare` returns their addresses and the secrets (DATABASE_URL, …)."""
        settings = {
            "ORCHESTRATOR_PORT": str(self.ports.orchestrators[number]),
            "METRICS_PORT": str(self.ports.orchestrator_metrics[number]),
            "AGENT_HOST_TEMPLATE": LOOPBACK,
            "CALL_TOKEN_PRIVATE_KEY_FILE": str(self.call_keys.private),
            "GATEWAY_SECRET_FILE": str(self.gateway_secret.path),
            "DB_POOL_SIZE": str(POOL_SIZE),
            "DB_MAX_OVERFLOW": str(POOL_OVERFLOW),
            **self._tls(ORCHESTRATOR),
        }
        return self._process(
            replica_name("orchestrator", number),
            "orchestrator.processes.orchestrator",
            settings,
            prepare=prepare,
            after=("postgres", "redis"),
        )

    def worker(self, number: int, prepare: Prepare) -> Process:
        """A worker. It starts after its servers."""
        settings = {
            "METRICS_PORT": str(self.ports.worker_metrics[number]),
            "AGENT_HOST_TEMPLATE": LOOPBACK,
            "CALL_TOKEN_PRIVATE_KEY_FILE": str(self.call_keys.private),
            "DB_POOL_SIZE": str(WORKER_POOL_SIZE),
            "DB_MAX_OVERFLOW": "0",
            **self._tls(WORKER),
        }
        return self._process(
            replica_name("worker", number), "orchestrator.processes.worker", settings, prepare=prepare, after=("postgres", "redis")
        )

    def consumer(self, prepare: Prepare) -> Process:
        """A consumer of events. It starts after its servers."""
        settings = {"METRICS_PORT": str(self.ports.consumer_metrics)}
        return self._process("consumer", "orchestrator.processes.consumer", settings, prepare=prepare, after=("postgres", "kafka"))

    def accounts_environment(self) -> dict[str, str]:
        """The environment of the command for accounts, without DATABASE_URL."""
        return {**inherited(os.environ), **self.environment}

    @property
    def simulator_log(self) -> Path:
        """The requests that the simulator answered, one JSON object per line."""
        return self.state.folder("simulator") / "requests.jsonl"

    @property
    def call_keys(self) -> CallKeys:
        """The keys of call tokens."""
        return CallKeys(self.state.folder("keys"))

    @property
    def gateway_secret(self) -> GatewaySecret:
        """The secret by which the orchestrators recognise the gateway."""
        return GatewaySecret(self.state.folder("keys"))

    def _process(
        self,
        name: str,
        module: str,
        settings: Mapping[str, str],
        *,
        prepare: Prepare = nothing_to_prepare,
        after: Sequence[str] = (),
        alive: Alive | None = None,
    ) -> Process:
        ready_file = self.state.ready_file(name)

        async def prepared() -> Mapping[str, str]:
            ready_file.unlink(missing_ok=True)
            return await prepare()

        spec = ProcessSpec(
            name=name,
            command=[sys.executable, "-m", module],
            traces=self.state.traces(name),
            ready=ready_file_written(ready_file),
            environment={**inherited(os.environ), **self._common(), "READY_FILE": str(ready_file), **settings, **self.environment},
            folder=REPOSITORY,
            prepare=prepared,
            stop_seconds=STOP_SECONDS,
            after=after,
            alive=alive or HealthProbe(ready_file).answers,
        )
        return Process(spec)

    def _tls(self, identity: str) -> dict[str, str]:
        return {"MESH_TLS_DIR": str(self.certificates / service_of(identity))} if self.certificates else {}

    def _common(self) -> dict[str, str]:
        return {
            "HOST_ADDRESS": LOOPBACK,
            "HEALTH_PORT": "0",
            "PORT_OFFSET": str(self.ports.offset),
            "AGENT_SHARDS": str(len(self.ports.agent_metrics)),
            "DRAIN_GRACE_SECONDS": str(DRAIN_SECONDS),
        }

    async def _simulator_answers(self, seconds: float) -> bool:
        return await http_status(self.ports.simulator, "/healthz", seconds) == 200

    async def _make_simulator_folder(self) -> Mapping[str, str]:
        self.simulator_log.parent.mkdir(parents=True, exist_ok=True)
        return {}


def agent_host_name(shard: int) -> str:
    """The name of a shard's host in messages and logs."""
    return f"agents-{shard}"


def replica_name(program: str, number: int) -> str:
    """The name of a replica in messages and logs; the first has the name of the program."""
    return f"{program}-{number}" if number else program


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The launcher's environment without the settings that the stack decides.

    Only agent hosts get the provider's key, and calls inside the stack do not use a proxy.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith(DECIDED_HERE)}
    direct = ",".join(filter(None, [environment.get("NO_PROXY") or environment.get("no_proxy"), "127.0.0.1", "localhost"]))
    return {"LOG_FORMAT": "json", **kept, "NO_PROXY": direct, "no_proxy": direct}
