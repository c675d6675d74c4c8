"""The settings of the orchestrator."""

from pathlib import Path

from pydantic import Field, field_validator

from mesh.rpc.peer import LOOPBACK, TrustedProxies
from mesh.settings import MeshSettings

POLICY = Path(__file__).resolve().parent.parent / "deploy" / "policy"


class OrchestratorSettings(MeshSettings):
    """Read from the environment, once."""

    database_url: str
    """PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`."""
    redis_url: str
    """Redis, as `redis://host:port/0`."""
    orchestrator_port: int = Field(default=50051, ge=0, le=65535)
    """The gRPC port; 0 takes any free one."""
    db_pool_size: int = Field(default=20, ge=1)
    """Connections kept open, per process."""
    db_max_overflow: int = Field(default=10, ge=0)
    """Connections beyond those under load, per process."""
    agent_host_template: str = "127.0.0.1"
    """The address of the host of a shard; `{shard}` is its number."""
    agent_shards: int = Field(default=1, ge=1, le=800)
    """How many hosts share the agents' ports."""
    model_default: str = "claude-sonnet-5-5"
    """The model of definitions that name none."""
    execution_lease_seconds: float = Field(default=30, gt=0)
    """How long an execution whose process went silent is left alone before it is settled as `outcome_unknown`."""
    sweep_seconds: float = Field(default=5, gt=0)
    """How often orphaned executions are looked for."""
    cancel_grace_seconds: float = Field(default=1, ge=0)
    """How long an agent may take to say what a cancelled call used."""
    drain_notice_seconds: float = Field(default=1, ge=0)
    """How long NOT_SERVING stands before the server stops taking calls; above the gateway's health check interval."""
    drain_grace_seconds: float = Field(default=30, ge=0)
    """How long calls under way may take to finish when the process stops."""
    policy_path: Path = POLICY
    """The folder of the policy that is evaluated in process."""
    opa_url: str | None = Field(default=None, pattern=r"^https?://")
    """The OPA server that evaluates the policy instead."""
    limit_agent_calls: int = Field(default=600, ge=1)
    """Calls to agents that a user may make in a minute, and at once when the last ones are a minute ago."""
    limit_agent_calls_of_key: int = Field(default=600, ge=1)
    """The same for one API key; its calls count as its user's too."""
    limit_agent_calls_in_flight: int = Field(default=50, ge=1)
    """Calls to agents that a user may have under way, per orchestrator."""
    limit_calls: int = Field(default=6_000, ge=1)
    """Other calls that a user may make in a minute."""
    limit_logins: int = Field(default=10, ge=1)
    """Logins and registrations a minute under one user name from one address."""
    limit_logins_of_address: int = Field(default=120, ge=1)
    """Logins, registrations and refreshed tokens a minute from one address."""
    limit_open_calls_of_address: int = Field(default=600, ge=1)
    """Other calls a minute from one address that nobody has to sign."""
    trusted_proxies: str = ",".join(LOOPBACK)
    """Networks, comma-separated, of the gateways that say where calls come from (`x-forwarded-for`)."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, networks: str) -> str:
        TrustedProxies(networks.split(","))
        return networks
