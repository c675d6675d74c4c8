"""The settings of a consumer of events."""

from pydantic import Field

from mesh.settings import MeshSettings
from orchestrator.adapters.postgres.engine import DatabaseUrl


class ConsumerSettings(MeshSettings):
    """The settings, read once from the environment."""

    database_url: DatabaseUrl
    """PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`."""
    kafka_bootstrap_servers: str = Field(min_length=1)
    """The Kafka brokers to consume from, as `host:port,host:port`."""
    event_retention_days: float = Field(default=30, gt=0)
    """How long the consumer remembers which events it has processed. Must exceed the retention of the topics."""
