"""docs/operations.md is complete: it lists every setting of every process."""

from dataclasses import fields
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from agent_server.hosting.settings import AgentHostSettings
from gateway.envoy.render import GatewaySettings
from orchestrator.composition.consumer_settings import ConsumerSettings
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.composition.worker_settings import WorkerSettings
from orchestrator.processes.accounts import AccountsSettings
from orchestrator.processes.migrate import MigrateSettings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text()
FOR_TESTS = {"FAILPOINTS"}
PATHS_OF_THE_INSTALLATION = {
    "DESCRIPTOR_PATH",
    "OPENAPI_PATH",
    "LUA_PATH",
    "REQUESTS_PATH",
    "CONNECTIONS_PATH",
    "SHEDDING_PATH",
    "ACCESS_LOG_PATH",
}


PROCESSES = [OrchestratorSettings, WorkerSettings, ConsumerSettings, AgentHostSettings, AccountsSettings, MigrateSettings]


@pytest.mark.parametrize("process", PROCESSES)
def test_every_setting_of_a_process_is_documented(process: type[BaseSettings]) -> None:
    names = {name.upper().removesuffix("_FILE") for name in process.model_fields}
    assert {name for name in names if f"`{name}" not in PAGE} <= FOR_TESTS


def test_every_setting_of_the_gateway_is_documented() -> None:
    names = {field.name.upper().removesuffix("_FILE") for field in fields(GatewaySettings)}
    assert {name for name in names if f"`{name}" not in PAGE} <= PATHS_OF_THE_INSTALLATION
