import os

import pytest

from deploy.local.errors import LaunchError
from deploy.local.tools.go_tools import NoGo
from deploy.local.tools.helm_tool import helm as helm_program
from tests.contract.chart.rendering import Helm


@pytest.fixture(scope="session")
def helm() -> Helm:
    """The real Helm, which `make test` starts to download before anything else. Skips the test where it cannot be installed."""
    try:
        return Helm(helm_program())
    except NoGo as problem:
        pytest.skip(str(problem))
    except LaunchError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))
