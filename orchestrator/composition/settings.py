"""The settings of the orchestrator, and those that it shares with the workers."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from mesh.security.secret_strength import weakness
from mesh.security.settings import CallTokenMinting
from orchestrator.adapters.postgres.engine import DatabaseUrl

POLICY = Path(__file__).resolve().parents[2] / "deploy" / "policy"


class SharedSettings(CallTokenMinting):
    """Settings of the processes that call agents and record executions: orchestrators and workers."""

    database_url: DatabaseUrl
    """PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`."""
    redis_url: str
    """Redis, as `redis://host:port/0`."""
    db_pool_size: int = Field(default=20, ge=1)
    """Connections that each process keeps open."""
    db_max_overflow: int = Field(default=10, ge=0)
    """Connections that each process may open in addition under load."""
    agent_host_template: str = "127.0.0.1"
    """The address of a shard's agent host; `{shard}` is replaced by the shard's number."""
    agent_shards: int = Field(default=1, ge=1, le=800)
    """The number of agent hosts that share the agents' ports."""
    model_default: str = "claude-sonnet-5-5"
    """The model of agents whose definition names none."""
    execution_lease_seconds: float = Field(default=30, gt=0)
    """How long after the last lease renewal of its process an execution is settled as `outcome_unknown`."""
    sweep_seconds: float = Field(default=5, gt=0)
    """The interval between searches for orphaned executions."""
    cancel_grace_seconds: float = Field(default=1, ge=0)
    """How long an agent may take to report the usage of a cancelled call."""
    policy_path: Path = POLICY
    """The folder of the policy, which is evaluated in the process."""
    opa_url: str | None = Field(default=None, pattern=r"^https?://")
    """An OPA server that evaluates the policy instead."""
    limit_agent_calls: int = Field(default=600, ge=1)
    """Agent calls per minute and user. The attempts of the user's steps count too."""
    limit_agent_calls_of_key: int = Field(default=600, ge=1)
    """Agent calls per minute and API key. They also count towards the limit of the key's user."""


class OrchestratorSettings(SharedSettings):
    """The settings of an orchestrator, read once from the environment."""

    orchestrator_port: int = Field(default=50051, ge=0, le=65535)
    """The gRPC port; 0 chooses a free one."""
    kafka_bootstrap_servers: str = ""
    """The Kafka brokers to publish events to, as `host:port,host:port`. Empty publishes none."""
    event_retention_days: float = Field(default=30, gt=0)
    """How long the event log keeps an event."""
    execution_retention_days: float = Field(default=90, ge=0)
    """How long an execution is kept. It is kept longer while its run or an idempotency key refers to it; 0 keeps it forever."""
    run_retention_days: float = Field(default=90, ge=0)
    """How long a run and its steps are kept after its end; 0 keeps them forever."""
    run_change_retention_days: float = Field(default=30, ge=0)
    """How long the changes of a run, which watchers read, are kept after its end; 0 keeps them as long as the run itself."""
    audit_retention_days: float = Field(default=365, ge=0)
    """How long the audit log keeps an entry; 0 keeps it forever."""
    usage_retention_days: float = Field(default=92, ge=0)
    """How long analytics keeps the hours of agents, models, users and keys; 0 keeps them forever. Days and totals are kept forever."""
    drain_notice_seconds: float = Field(default=1.5, ge=0)
    """How long the server reports NOT_SERVING before it stops accepting calls. Must exceed the gateway's health check interval."""
    limit_agent_calls_in_flight: int = Field(default=50, ge=1)
    """Agent calls that a user may have in progress, per orchestrator."""
    limit_calls: int = Field(default=6_000, ge=1)
    """Other calls per minute and user."""
    limit_api_keys_of_user: int = Field(default=100, ge=1)
    """API keys of a user that work, or were created in the last 24 h."""
    limit_logins: int = Field(default=10, ge=1)
    """Logins and registrations per minute, for one user name from one address."""
    limit_logins_of_address: int = Field(default=120, ge=1)
    """Logins, registrations and token refreshes per minute from one address."""
    limit_failed_credentials_of_address: int = Field(default=120, ge=1)
    """Unknown, expired or revoked API keys and access tokens per minute from one address, per orchestrator."""
    limit_open_calls_of_address: int = Field(default=600, ge=1)
    """Other calls per minute from one address to rpcs that need no credential."""
    limit_password_checks_waiting: int = Field(default=24, ge=1)
    """Calls that may wait for a password to be hashed, such as logins, per orchestrator."""
    registration: Literal["open", "closed"] = "open"
    """Whether anyone may register; if closed, only administrators create users."""
    jwt_secret: SecretStr
    """The secret that signs access tokens: at least 32 random bytes."""
    jwt_secret_previous: SecretStr | None = None
    """The previous secret. Tokens that it signed are accepted until they expire."""
    jwt_expiry_minutes: int = Field(default=60, ge=1, le=24 * 60)
    """The lifetime of an access token."""
    refresh_expiry_days: float = Field(default=30, gt=0, le=366)
    """The lifetime of a refresh token. Each use issues a new one."""
    bcrypt_rounds: int = Field(default=12, ge=4, le=16)
    """The cost of a password hash, which doubles with each step. Use less than 12 only in tests."""
    limit_streams_of_user: int = Field(default=100, ge=1)
    """Streams that a user may have open, per orchestrator."""
    limit_streams_of_address: int = Field(default=500, ge=1)
    """Streams that one address may have open, per orchestrator, with or without a credential. Health watches and reflection count too."""
    limit_streams: int = Field(default=4_000, ge=1)
    """Streams of all callers together, per orchestrator. Lower than the gateway's 8,192 requests in flight per orchestrator, so that there
    is always room for calls and probes."""
    limit_anonymous_streams: int = Field(default=1_000, ge=1)
    """Those of them without a credential (health watches, reflection); the rest is reserved for users."""
    limit_connections: int = Field(default=10_000, ge=1)
    """Connections that may be open at once on the gRPC port."""
    gateway_secret_file: Path | None = None
    """A file with the secret by which gateways authenticate: at least 32 random bytes. During a rotation it contains several, one per line.
    Only a gateway that presents the secret may set the caller's address. If unset, the address of the connection is the caller's."""

    @field_validator("jwt_secret", "jwt_secret_previous")
    @classmethod
    def _strong(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and (why := weakness(secret.get_secret_value())) is not None:
            raise ValueError(f"{why}; make one with: openssl rand -base64 48")
        return secret

    @field_validator("gateway_secret_file")
    @classmethod
    def _secret_inside(cls, path: Path | None) -> Path | None:
        if path is not None:
            _secrets_in(path)
        return path

    @property
    def jwt_secrets(self) -> list[str]:
        """The current secrets. The first one signs."""
        live = [self.jwt_secret, *([self.jwt_secret_previous] if self.jwt_secret_previous else [])]
        return [secret.get_secret_value() for secret in live]

    @property
    def gateway_secrets(self) -> list[str]:
        """The secrets in `gateway_secret_file`; empty if it is not set."""
        return [] if self.gateway_secret_file is None else _secrets_in(self.gateway_secret_file)


def _secrets_in(path: Path) -> list[str]:
    try:
        secrets = path.read_text().split()
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from error
    for secret in secrets or [""]:
        if (why := weakness(secret)) is not None:
            raise ValueError(f"{why}; make one with: openssl rand -base64 48")
    return secrets
