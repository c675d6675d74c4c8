from collections.abc import AsyncIterator

import pytest

from tests.contract.gateway.backend import Backend
from tests.contract.gateway.relay import Relay
from tests.contract.gateway.running import Gateway, running_gateway


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
    """A gateway with the default settings."""
    async with running_gateway(tmp_path_factory.mktemp("gateway"), upstream[1].port) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: Gateway, backend: Backend) -> Gateway:
    """The gateway, with the backend reset."""
    return shared_gateway
