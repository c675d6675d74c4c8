"""Settings with which an agent host refuses to start."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from agent_server.hosting.host import Address
from agent_server.hosting.settings import AgentHostSettings
from mesh.settings import explain
from tests.support.call_tokens import PRIVATE_KEY, PUBLIC_KEY

KEY = SecretStr("key-" + "0" * 20)


def test_a_missing_api_key_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(ValidationError) as refused:
        AgentHostSettings(anthropic_api_key=SecretStr(""), call_token_public_key=PUBLIC_KEY)
    assert explain(refused.value) == "ANTHROPIC_API_KEY is not set: set it, or use `make up`, which starts a local simulator without a key"


@pytest.mark.parametrize(
    "wrong",
    [
        {"agent_shard": 1, "agent_shards": 1},
        {"agent_shards": 0},
        {"agent_shards": 801},
        {"agent_shard": -1},
        {"model_provider": "elsewhere"},
        {"drain_grace_seconds": -1},
        {"call_token_public_key": ""},
        {"call_token_public_key": "no key"},
        {"call_token_public_key": PRIVATE_KEY},
        {"call_token_public_key": "", "call_token_public_key_file": "/nowhere"},
    ],
)
def test_contradictory_settings_are_refused_without_showing_the_key(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        AgentHostSettings(**{"anthropic_api_key": KEY, "call_token_public_key": PUBLIC_KEY, **wrong})
    assert KEY.get_secret_value() not in str(refused.value) + explain(refused.value)


def test_the_key_is_hidden_in_the_repr() -> None:
    assert KEY.get_secret_value() not in repr(AgentHostSettings(anthropic_api_key=KEY, call_token_public_key=PUBLIC_KEY))


@pytest.mark.parametrize(("offset", "shards"), [(0, 1), (0, 3), (777, 2), (56_000, 800)])
def test_every_port_belongs_to_exactly_one_shard_at_any_offset(offset: int, shards: int) -> None:
    hosts = [Address("127.0.0.1", offset, shard, shards) for shard in range(shards)]
    for port in range(8200 + offset, 9000 + offset):
        assert [host.shard for host in hosts if host.owns(port)] == [(port - offset - 8200) % shards]
