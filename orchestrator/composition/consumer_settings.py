"""The settings of a consumer of events."""

from pydantic import Field

from mesh.settings import MeshSettings
from orchestrator.adapters.postgres.engine import DatabaseUrl


class ConsumerSettings(MeshSettings):
    """Read from the environment, once."""

    database_url: DatabaseUrl
    """PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`."""
    kafka_bootstrap_servers: str = Field(min_length=1)
    """Brokers from which events come, as `host:port,host:port`."""
    event_retention_days: float = Field(default=30, gt=0)
    """How long it is remembered that an event has been seen; above the retention of the topics."""
