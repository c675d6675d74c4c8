"""The gateway authenticates itself to the orchestrator, and names the caller."""

from pathlib import Path

import pytest

from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import Gateway, running_gateway

AGENT = f"/api/v1/agents/{AGENT_ID}"
SECRET = "a-secret-of-the-gateway-with-32-bytes"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.secret"
    path.write_text(SECRET + "\n")
    return path


async def test_the_gateway_sends_its_secret_and_no_caller_sees_it(backend: Backend, tmp_path: Path, secret_file: Path) -> None:
    async with running_gateway(tmp_path, backend.port, gateway_secret_file=secret_file) as gateway:
        response = await gateway.http.get(AGENT, headers={"x-mesh-gateway": "forged", "x-mesh-client": "192.0.2.1"})
        metadata = backend.script.metadata[-1]
        assert (metadata["x-mesh-gateway"], metadata["x-mesh-client"]) == (SECRET, "127.0.0.1")
        assert SECRET not in str(response.headers)
        assert SECRET not in (await gateway.http.get(f"http://127.0.0.1:{gateway.admin_port}/config_dump")).text
    assert (tmp_path / "sds" / "gateway_secret.yaml").stat().st_mode & 0o077 == 0
    assert SECRET not in (tmp_path / "envoy.yaml").read_text()


async def test_without_a_secret_none_is_sent_and_forged_headers_are_removed(gateway: Gateway, backend: Backend) -> None:
    await gateway.http.get(AGENT, headers={"x-mesh-gateway": "forged", "x-mesh-client": "192.0.2.1"})
    assert "x-mesh-gateway" not in backend.script.metadata[-1]
    assert backend.script.metadata[-1]["x-mesh-client"] == "127.0.0.1"


@pytest.mark.parametrize(("hops", "seen"), [(0, "127.0.0.1"), (1, "192.0.2.3"), (2, "192.0.2.2")])
async def test_the_last_trusted_proxy_names_the_caller(backend: Backend, tmp_path: Path, hops: int, seen: str) -> None:
    async with running_gateway(tmp_path, backend.port, trusted_hops=hops) as gateway:
        await gateway.http.get(AGENT, headers={"x-forwarded-for": "192.0.2.1, 192.0.2.2, 192.0.2.3"})
        assert backend.script.metadata[-1]["x-mesh-client"] == seen


async def test_callers_behind_a_load_balancer_have_their_own_limits(backend: Backend, tmp_path: Path) -> None:
    async with running_gateway(tmp_path, backend.port, trusted_hops=1, per_ip_rate=1, per_ip_burst=5) as gateway:
        statuses = [(await gateway.http.get(AGENT, headers={"x-forwarded-for": "192.0.2.1"})).status_code for _ in range(8)]
        assert 429 in statuses
        assert (await gateway.http.get(AGENT, headers={"x-forwarded-for": "192.0.2.2"})).status_code == 200
