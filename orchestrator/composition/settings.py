"""The settings of the orchestrator, and those that it shares with the workers."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from mesh.security.secret_strength import weakness
from mesh.security.settings import CallTokenMinting
from orchestrator.adapters.postgres.engine import DatabaseUrl

POLICY = Path(__file__).resolve().parents[2] / "deploy" / "policy"


class SharedSettings(CallTokenMinting):
    """What calls agents and keeps the books: the orchestrator and the workers."""

    database_url: DatabaseUrl
    """PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`."""
    redis_url: str
    """Redis, as `redis://host:port/0`."""
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
    policy_path: Path = POLICY
    """The folder of the policy that is evaluated in process."""
    opa_url: str | None = Field(default=None, pattern=r"^https?://")
    """The OPA server that evaluates the policy instead."""
    limit_agent_calls: int = Field(default=600, ge=1)
    """Agent calls that a user may make in a minute; the attempts of the user's steps count too."""
    limit_agent_calls_of_key: int = Field(default=600, ge=1)
    """The same for one API key, whose calls also count as its user's."""


class OrchestratorSettings(SharedSettings):
    """Read from the environment, once."""

    orchestrator_port: int = Field(default=50051, ge=0, le=65535)
    """The gRPC port; 0 takes any free one."""
    kafka_bootstrap_servers: str = ""
    """Brokers to which events go, as `host:port,host:port`; empty for none."""
    event_retention_days: float = Field(default=30, gt=0)
    """How long the log keeps an event."""
    execution_retention_days: float = Field(default=90, ge=0)
    """How long an execution is kept, and longer while its run or an idempotency key refers to it; 0 keeps it for ever."""
    run_retention_days: float = Field(default=90, ge=0)
    """How long a run is kept after its end, with its steps; 0 keeps it for ever."""
    run_change_retention_days: float = Field(default=30, ge=0)
    """How long the changes of a run, which watchers read, are kept after its end; 0 keeps them as long as the run."""
    audit_retention_days: float = Field(default=365, ge=0)
    """How long the audit log keeps an entry; 0 keeps it for ever."""
    drain_notice_seconds: float = Field(default=1.5, ge=0)
    """How long NOT_SERVING stands before the server stops taking calls; above the gateway's health check interval."""
    limit_agent_calls_in_flight: int = Field(default=50, ge=1)
    """Calls to agents that a user may have under way, per orchestrator."""
    limit_calls: int = Field(default=6_000, ge=1)
    """Other calls that a user may make in a minute."""
    limit_logins: int = Field(default=10, ge=1)
    """Logins and registrations a minute under one user name from one address."""
    limit_logins_of_address: int = Field(default=120, ge=1)
    """Logins, registrations and refreshed tokens a minute from one address."""
    limit_failed_credentials_of_address: int = Field(default=120, ge=1)
    """Unknown, expired or revoked API keys and access tokens that one address may send in a minute, per orchestrator."""
    limit_open_calls_of_address: int = Field(default=600, ge=1)
    """Other calls a minute from one address that nobody has to sign."""
    limit_password_checks_waiting: int = Field(default=24, ge=1)
    """Logins and other calls that may wait for a password to be hashed, per orchestrator."""
    registration: Literal["open", "closed"] = "open"
    """Whether anybody may register; if closed, administrators create users."""
    jwt_secret: SecretStr
    """Signs access tokens, at least 32 random bytes long."""
    jwt_secret_previous: SecretStr | None = None
    """The secret before: tokens that it signed are taken until they expire."""
    jwt_expiry_minutes: int = Field(default=60, ge=1, le=24 * 60)
    """For how long access tokens are good."""
    refresh_expiry_days: float = Field(default=30, gt=0, le=366)
    """For how long a refresh token can be used; each use makes a new one."""
    bcrypt_rounds: int = Field(default=12, ge=4, le=16)
    """What a password hash costs: twice as much with each more. Less than 12 is for tests."""
    limit_streams_of_user: int = Field(default=100, ge=1)
    """Streams of a user that may be open at once, per orchestrator."""
    limit_streams_of_address: int = Field(default=500, ge=1)
    """The same for one address, signed or not, health watches and reflection included."""
    limit_streams: int = Field(default=4_000, ge=1)
    """The same for everybody together: below the gateway's 8,192 requests in flight, so that calls and probes always find room."""
    gateway_secret_file: Path | None = None
    """The secret by which gateways prove themselves, at least 32 random bytes; one a line while it is being changed. Only a gateway that
    shows it may name the caller's address. Unset: every caller has the address of its connection."""

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
        """The live secrets, the one that signs first."""
        live = [self.jwt_secret, *([self.jwt_secret_previous] if self.jwt_secret_previous else [])]
        return [secret.get_secret_value() for secret in live]

    @property
    def gateway_secrets(self) -> list[str]:
        """The secrets of the file; none without one."""
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
