from collections.abc import AsyncIterator

import pytest

from tests.e2e.books import check_books
from tests.e2e.platform import Platform, running_platform
from tests.e2e.workflows import Workflows
from tests.support.ports import any_free_port


@pytest.fixture(scope="session")
def other_origin() -> str:
    """A web origin whose pages may call the platform."""
    return f"http://localhost:{any_free_port()}"


@pytest.fixture(scope="session")
async def shared_platform(tmp_path_factory: pytest.TempPathFactory, other_origin: str) -> AsyncIterator[Platform]:
    """One whole platform for all of these tests: Envoy, orchestrator, agent host, PostgreSQL, Redis and the simulator."""
    async with running_platform(tmp_path_factory.mktemp("platform"), gateway={"cors_origins": (other_origin,)}) as platform:
        yield platform
        await check_books(platform)  # the books of all tests together


@pytest.fixture
async def platform(shared_platform: Platform) -> AsyncIterator[Platform]:
    """The platform, without the provider faults of earlier tests."""
    yield shared_platform
    await shared_platform.provider.clear()


@pytest.fixture
def workflows(platform: Platform) -> Workflows:
    """The workflows of the first administrator."""
    return Workflows(platform)
