"""A whole stack in which tests inject faults."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.lifted_limits import LIFTED
from deploy.local.stack import Stack
from mesh.settings import DEFINITIONS
from tests.chaos.calls import Ledger
from tests.chaos.clients import RestClient, rest_client
from tests.support.ports import free_port_offset

LEASE_SECONDS = 2.0
ENVIRONMENT = LIFTED | {
    "EXECUTION_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "STEP_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "STEP_POLL_SECONDS": "0.3",
    "SWEEP_SECONDS": "0.3",
    "DRAIN_NOTICE_SECONDS": "0",
}
"""Short, so that the leases of a dead process expire while a test waits."""


@asynccontextmanager
async def running_stack(folder: Path, environment: Mapping[str, str], orchestrators: int = 1, workers: int = 1) -> AsyncIterator[Stack]:
    """A stack at a port offset of its own, with this many orchestrators and workers. Its data is removed afterwards."""
    with free_port_offset(orchestrators, workers) as offset:
        running = Stack(
            folder,
            offset,
            definitions=DEFINITIONS / "marketing",  # a hundred agents are enough, and every restart reads them
            environment=environment,
            orchestrators=orchestrators,
            workers=workers,
            liveness_seconds=0,  # tests stop processes deliberately, and the launcher must not kill them for it
        )
        async with running:
            yield running
        running.erase()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytecode cache of programs that are started dozens of times; without it, each start compiles for seconds."""
    return {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode")), "PYTHONDONTWRITEBYTECODE": ""}


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, compiled: dict[str, str]) -> AsyncIterator[Stack]:
    """A stack for one module, with empty books."""
    async with running_stack(tmp_path_factory.mktemp("chaos"), {**ENVIRONMENT, **compiled}) as running:
        yield running


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """Every call that the module has sent to its stack."""
    return []


@pytest.fixture(scope="module")
async def rest(stack: Stack) -> AsyncIterator[RestClient]:
    """A REST client of the module's stack."""
    async with rest_client(stack) as client:
        yield client
