"""The settings of an agent host."""

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from mesh.security.settings import CallTokenChecking


class AgentHostSettings(CallTokenChecking):
    """Read once from the environment."""

    agent_shards: int = Field(default=1, ge=1, le=800)
    """The number of hosts that share the ports. A port belongs to shard (port - 8200) % agent_shards."""
    agent_shard: int = Field(default=0, ge=0)
    """The number of this host's shard, from 0."""
    model_provider: Literal["anthropic", "simulator"] = "anthropic"
    """The provider behind the base URL. Callers see it as `metadata.provider`; nothing else depends on it."""
    model_default: str = "claude-sonnet-5-5"
    """The model for definitions that name none."""
    limit_connections: int = Field(default=500, ge=1)
    """Connections that may be open at once on each port. Its callers, the orchestrators and workers, need one each."""
    anthropic_api_key: SecretStr = SecretStr("")
    """The provider's key."""
    anthropic_base_url: str | None = None
    """The URL of the Messages API; None for Anthropic's own."""
    drain_notice_seconds: float = Field(default=0.5, ge=0)
    """Seconds between setting the health to NOT_SERVING and refusing new calls."""

    @model_validator(mode="after")
    def _consistent(self) -> "AgentHostSettings":
        if self.agent_shard >= self.agent_shards:
            raise ValueError(f"invalid AGENT_SHARD {self.agent_shard}: use 0 to {self.agent_shards - 1}, or raise AGENT_SHARDS")
        if not self.anthropic_api_key.get_secret_value():
            raise ValueError("ANTHROPIC_API_KEY is not set: set it, or use `make up`, which starts a local simulator without a key")
        return self
