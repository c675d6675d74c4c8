"""The settings of the orchestrator."""

from pydantic import Field

from mesh.security.settings import CallTokenMinting


class OrchestratorSettings(CallTokenMinting):
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
    kafka_bootstrap_servers: str = ""
    """Brokers to which events go, as `host:port,host:port`; empty for none."""
    event_retention_days: float = Field(default=30, gt=0)
    """How long the log keeps an event."""
    drain_notice_seconds: float = Field(default=1, ge=0)
    """How long NOT_SERVING stands before the server stops taking calls; above the gateway's health check interval."""
    drain_grace_seconds: float = Field(default=30, ge=0)
    """How long calls under way may take to finish when the process stops."""
