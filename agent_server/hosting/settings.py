"""The settings of an agent host."""

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from mesh.security.settings import CallTokenChecking


class AgentHostSettings(CallTokenChecking):
    """Read from the environment, once."""

    agent_shards: int = Field(default=1, ge=1, le=800)
    """How many hosts share the ports: a port belongs to shard (port - 8200) % agent_shards."""
    agent_shard: int = Field(default=0, ge=0)
    """Which of them this host is."""
    model_provider: Literal["anthropic", "simulator"] = "anthropic"
    """Who answers behind the base URL; told to callers as `metadata.provider`, and nothing else depends on it."""
    model_default: str = "claude-sonnet-5-5"
    """The model of definitions that name none."""
    anthropic_api_key: SecretStr = SecretStr("")
    """The provider's key."""
    anthropic_base_url: str | None = None
    """Where the Messages API is; None is Anthropic's own."""
    drain_notice_seconds: float = Field(default=0.5, ge=0)
    """How long NOT_SERVING stands before the servers stop taking calls."""

    @model_validator(mode="after")
    def _consistent(self) -> "AgentHostSettings":
        if self.agent_shard >= self.agent_shards:
            raise ValueError(f"AGENT_SHARD={self.agent_shard} must be below AGENT_SHARDS={self.agent_shards}")
        if not self.anthropic_api_key.get_secret_value():
            raise ValueError("ANTHROPIC_API_KEY is not set; `make up` starts a local simulator when you have none")
        return self
