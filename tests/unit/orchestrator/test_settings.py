"""Settings with which an orchestrator refuses to start."""

from typing import Any

import pytest
from pydantic import ValidationError

from mesh.settings import explain
from orchestrator.composition.settings import OrchestratorSettings
from tests.support.call_tokens import PRIVATE_KEY

GOOD = {
    "database_url": "postgresql+asyncpg://u:hidden@localhost/x",
    "redis_url": "redis://:hidden@localhost/0",
    "jwt_secret": "Xk8vQ2m-Zr5tYw1p_Lb9cNd7gHs3jUf6aEo0iTq4",
    "call_token_private_key": PRIVATE_KEY,
}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"database_url": None}, "DATABASE_URL"),
        ({"redis_url": None}, "REDIS_URL"),
        ({"orchestrator_port": 70_000}, "ORCHESTRATOR_PORT"),
        ({"host_address": "0.0.0.0"}, "loopback"),
        ({"agent_shards": 0}, "AGENT_SHARDS"),
        ({"agent_shards": 801}, "AGENT_SHARDS"),
        ({"db_pool_size": 0}, "DB_POOL_SIZE"),
        ({"execution_lease_seconds": 0}, "EXECUTION_LEASE_SECONDS"),
        ({"sweep_seconds": -1}, "SWEEP_SECONDS"),
        ({"jwt_secret": None}, "JWT_SECRET"),
        ({"jwt_secret": "x8Vq2mZr5tYw1pLb9cNd7gHs3jUf6a"}, "at least 32"),
        ({"jwt_secret": "my-very-own-Password-1234567890-abc"}, "JWT_SECRET"),
        ({"jwt_secret": "ab" * 20}, "JWT_SECRET"),
        ({"jwt_secret": "x8Vq2mZr5tYw1pLb" * 3}, "repeats"),
        ({"jwt_secret_previous": "x8Vq2mZr"}, "JWT_SECRET_PREVIOUS"),
        ({"jwt_expiry_minutes": 0}, "JWT_EXPIRY_MINUTES"),
        ({"bcrypt_rounds": 3}, "BCRYPT_ROUNDS"),
        ({"gateway_secret_file": "/no/such/file"}, "GATEWAY_SECRET_FILE"),
        ({"gateway_secret_file": "/dev/null"}, "GATEWAY_SECRET_FILE"),
        ({"call_token_private_key": ""}, "CALL_TOKEN_PRIVATE_KEY is not set"),
        ({"call_token_private_key": "secret"}, "CALL_TOKEN_PRIVATE_KEY is not an unencrypted Ed25519 private key"),
        ({"call_token_private_key_file": "/secret"}, "CALL_TOKEN_PRIVATE_KEY and CALL_TOKEN_PRIVATE_KEY_FILE are both set"),
    ],
)
def test_invalid_settings_are_reported_on_one_line_without_secrets(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        OrchestratorSettings(**{**GOOD, **wrong})
    assert message in explain(refused.value)
    assert "\n" not in explain(refused.value)
    assert "hidden" not in explain(refused.value) + str(refused.value)
    assert not [value for value in wrong.values() if isinstance(value, str) and len(value) > 9 and value in explain(refused.value)]


def test_addresses_are_the_only_required_settings() -> None:
    settings = OrchestratorSettings(**GOOD)  # type: ignore[arg-type]
    assert (settings.orchestrator_port, settings.db_pool_size, settings.db_max_overflow) == (50051, 20, 10)
