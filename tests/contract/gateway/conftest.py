from collections.abc import AsyncIterator
from functools import partial

import pytest

from deploy.local.supervision.waiting import holds_within
from tests.contract.gateway.backend import Backend
from tests.contract.gateway.console.published import made_up_console
from tests.contract.gateway.relay import Relay
from tests.contract.gateway.running import ALLOWED_ORIGIN, Gateway, running_gateway


@pytest.fixture(scope="session")
async def upstream() -> AsyncIterator[tuple[Backend, Relay]]:
    """The orchestrator and the network in front of it, for the whole session."""
    backend, relay = Backend(), Relay()
    await backend.start()
    relay.target = backend.port
    await relay.accept()
    yield backend, relay
    await relay.refuse()
    await backend.stop()


@pytest.fixture
def backend(upstream: tuple[Backend, Relay]) -> Backend:
    upstream[0].reset()
    return upstream[0]


@pytest.fixture(scope="session")
async def shared_gateway(upstream: tuple[Backend, Relay], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway with the default settings that also serves a console and allows the pages of one other origin."""
    folder = tmp_path_factory.mktemp("gateway")
    console = made_up_console(folder / "console")
    async with running_gateway(folder, upstream[1].port, console_path=console, cors_origins=(ALLOWED_ORIGIN,)) as gateway:
        yield gateway


@pytest.fixture
async def gateway(shared_gateway: Gateway, backend: Backend) -> Gateway:
    """The gateway, with the backend reset, once it no longer rejects a share of the calls because too many failed in the last test."""
    assert await holds_within(10, partial(forwards_all, shared_gateway))
    backend.reset()
    return shared_gateway


async def forwards_all(gateway: Gateway) -> bool:
    """Whether several calls in a row succeed."""
    return all([(await gateway.http.get("/api/v1/categories")).status_code == 200 for _ in range(4)])
