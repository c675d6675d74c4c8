"""Which settings of the programs the chart decides, and which its values may give."""

from collections.abc import Collection, Mapping
from dataclasses import fields

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from agent_server.hosting.settings import AgentHostSettings
from gateway.envoy.folder import COPIED
from gateway.envoy.render import GatewaySettings
from orchestrator.composition.consumer_settings import ConsumerSettings
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.composition.worker_settings import WorkerSettings
from orchestrator.processes.migrate import MigrateSettings

PROGRAMS: Mapping[str, type[BaseSettings]] = {
    "orchestrator": OrchestratorSettings,
    "worker": WorkerSettings,
    "consumer": ConsumerSettings,
    "agents": AgentHostSettings,
    "migrations": MigrateSettings,
}
"""The settings of each component's program."""

DECIDED = frozenset(
    {
        *("HOST_ADDRESS", "HEALTH_ADDRESS", "HEALTH_PORT", "METRICS_PORT", "MESH_TLS_DIR", "ORCHESTRATOR_PORT", "DRAIN_GRACE_SECONDS"),
        *("DEFINITIONS_PATH", "DEFINITIONS_CACHE", "AGENT_SHARDS", "AGENT_SHARD", "AGENT_HOST_TEMPLATE", "DATABASE_URL", "REDIS_URL"),
        *("DB_POOL_SIZE", "DB_MAX_OVERFLOW", "KAFKA_BOOTSTRAP_SERVERS", "OPA_URL", "MODEL_PROVIDER", "ANTHROPIC_BASE_URL"),
        *("CALL_TOKEN_PRIVATE_KEY_FILE", "CALL_TOKEN_PUBLIC_KEY_FILE", "GATEWAY_SECRET_FILE"),
    }
)
"""Settings of the programs that templates derive from other values."""

DECIDED_OF_GATEWAY = frozenset(
    {
        *("LISTEN_ADDRESS", "GATEWAY_PORT", "ADMIN_PORT", "METRICS_PORT", "ORCHESTRATORS", "TLS_DIR", "GATEWAY_SECRET_FILE"),
        "TRUSTED_HOPS",
    }
)
"""The same of the gateway."""

FIXED_IN_THE_POD = frozenset({*(name.upper() for name in COPIED), "CONSOLE_PATH", "SDS_DIR", "ACCESS_LOG_PATH"})
"""The paths of the gateway, which `gateway.envoy.folder` chooses."""

NOT_IN_A_CLUSTER = frozenset({"FAILPOINTS", "PORT_OFFSET", "READY_FILE", "POLICY_PATH", "CALL_TOKEN_PUBLIC_KEY"})
"""Settings for tests and for a single machine, and those for which the chart has another way."""


def names(program: str) -> Collection[str]:
    """Every setting of a component's program, as an environment variable."""
    if program == "gateway":
        return [field.name.upper() for field in fields(GatewaySettings)]
    return [name.upper() for name in PROGRAMS[program].model_fields]


def open_to_values(program: str) -> Collection[str]:
    """The settings of a program that the values may give, sorted. Never secrets, which belong into a Secret."""
    if program == "gateway":
        return sorted({*names(program)} - DECIDED_OF_GATEWAY - FIXED_IN_THE_POD)
    secret = {name.upper() for name, field in PROGRAMS[program].model_fields.items() if SecretStr in _types(field.annotation)}
    return sorted({*names(program)} - DECIDED - NOT_IN_A_CLUSTER - secret)


def _types(annotation: object) -> Collection[object]:
    return [annotation, *getattr(annotation, "__args__", ())]
