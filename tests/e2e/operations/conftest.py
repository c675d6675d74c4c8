from collections.abc import AsyncIterator

import pytest

from deploy.local.lifted_limits import LIFTED
from tests.e2e.platform import Platform, question, running_platform
from tests.e2e.workflows import Workflows, task
from tests.support.collector import Collector, running_collector


@pytest.fixture(scope="package")
async def collector() -> AsyncIterator[Collector]:
    """A collector of the traces of `secured`."""
    async with running_collector() as one:
        yield one


@pytest.fixture(scope="package")
async def secured(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> AsyncIterator[Platform]:
    """A stack with mTLS between its services, whose calls are traced."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    gateway = {"otel_exporter_otlp_endpoint": collector.endpoint}
    folder = tmp_path_factory.mktemp("secured")
    async with running_platform(folder, {**LIFTED, **variables}, tls=True, gateway=gateway) as platform:
        # The first call of each process is refused by the host, because it does not know the host's start yet, and made again.
        await platform.execute(question())
        await Workflows(platform).completed(task("first"))
        yield platform
