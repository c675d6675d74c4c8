"""The setting LIVENESS_SECONDS of `make up`."""

import pytest

from deploy.local.errors import LaunchError
from deploy.local.launcher import liveness_seconds


@pytest.mark.parametrize(("environment", "seconds"), [({}, 30), ({"LIVENESS_SECONDS": "0"}, 0), ({"LIVENESS_SECONDS": "2.5"}, 2.5)])
def test_the_default_is_30_seconds(environment: dict[str, str], seconds: float) -> None:
    assert liveness_seconds(environment) == seconds


@pytest.mark.parametrize("setting", ["", "soon", "-1", "inf", "nan"])
def test_an_invalid_value_is_refused_with_the_allowed_ones(setting: str) -> None:
    with pytest.raises(LaunchError, match=rf"^invalid LIVENESS_SECONDS {setting}: use a number of seconds"):
        liveness_seconds({"LIVENESS_SECONDS": setting})
