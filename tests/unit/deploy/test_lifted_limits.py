"""The one list of limits that `make up`, the tests and the benchmarks lift."""

from dataclasses import fields

import pytest

from agent_server.hosting.settings import AgentHostSettings
from deploy.local.errors import LaunchError
from deploy.local.lifted_limits import KEPT, LIFTED, lifted
from gateway.envoy.render import GatewaySettings
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.composition.worker_settings import WorkerSettings


def test_every_limit_is_either_lifted_or_kept_deliberately() -> None:
    names = {*OrchestratorSettings.model_fields, *WorkerSettings.model_fields, *AgentHostSettings.model_fields}
    names |= {field.name for field in fields(GatewaySettings)}
    limits = {name.upper() for name in names if name.startswith("limit_")}
    assert {*LIFTED, *KEPT} == limits
    assert not KEPT & set(LIFTED)


@pytest.mark.parametrize(("given", "expected"), [({}, {}), ({"LIMITS": ""}, {}), ({"LIMITS": "on"}, {}), ({"LIMITS": "off"}, LIFTED)])
def test_make_up_lifts_the_limits_only_on_request(given: dict[str, str], expected: dict[str, str]) -> None:
    assert lifted(given) == expected


def test_another_value_is_refused() -> None:
    with pytest.raises(LaunchError, match="invalid LIMITS=no"):
        lifted({"LIMITS": "no"})
