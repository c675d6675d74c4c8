"""The rendered bootstrap, as settings and contract determine it."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from agentmesh.common.v1 import access_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from deploy.local.servers.envoy import program
from gateway.envoy.__main__ import settings_from
from gateway.envoy.contract import Binding, allowed_methods, public_rpcs
from gateway.envoy.render import GatewaySettings, render_bootstrap

DESCRIPTOR = GatewaySettings().descriptor_path


def test_exactly_the_public_rpcs_have_routes() -> None:
    rendered = render_bootstrap(GatewaySettings())
    rpcs = public_rpcs(DESCRIPTOR)
    assert "/agentmesh.execution.v1.ExecutionService/StreamAgent" in {rpc.path for rpc in rpcs}
    assert set(re.findall(r"match: \{path: (/agentmesh\.[^,]+),", rendered)) == {rpc.path for rpc in rpcs}
    assert "agentmesh.agent.v1" not in rendered


def test_only_rpcs_bound_to_get_alone_are_reads() -> None:
    reading = {rpc.name: rpc.reads_only for rpc in public_rpcs(DESCRIPTOR)}
    assert (reading["ExecuteAgent"], reading["StreamAgent"], reading["ListExecutions"]) == (False, False, True)


def test_probes_have_their_own_share_of_upstream_requests() -> None:
    config = yaml.safe_load(render_bootstrap(GatewaySettings()))
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    urgent = {route["match"]["path"] for route in routes if route.get("route", {}).get("priority") == "HIGH"}
    assert urgent == {f"/agentmesh.health.v1.HealthService/{name}" for name in ("GetHealth", "GetReadiness")}
    thresholds = config["static_resources"]["clusters"][0]["circuit_breakers"]["thresholds"]
    assert [threshold.get("priority", "DEFAULT") for threshold in thresholds] == ["DEFAULT", "HIGH"]


def test_no_execute_call_and_no_stream_is_retried() -> None:
    config = yaml.safe_load(render_bootstrap(GatewaySettings()))
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    routes = {route["match"].get("path"): route for route in manager["route_config"]["virtual_hosts"][0]["routes"]}
    for name in ("ExecuteAgent", "StreamAgent"):
        assert "retry_policy" not in routes[f"/agentmesh.execution.v1.ExecutionService/{name}"]["route"]
    assert routes["/agentmesh.execution.v1.ExecutionService/ExecuteAgent"]["route"]["timeout"] == "620s"
    assert routes["/agentmesh.execution.v1.ExecutionService/StreamAgent"]["route"]["timeout"] == "0s"


@pytest.mark.parametrize(
    ("template", "matches", "differs"),
    [
        ("/api/v1/agents", ["/api/v1/agents", "/api/v1/agents/"], ["/api/v1/agents/x", "/api/v1/agentsx"]),
        ("/api/v1/agents/{agent_id}", ["/api/v1/agents/a.b-c"], ["/api/v1/agents/", "/api/v1/agents/a/b"]),
        ("/v1/{name=shelves/*/books/*}", ["/v1/shelves/a/books/b"], ["/v1/shelves/a/books/b/c", "/v1/shelves/a"]),
        ("/v1/{name=files/**}:read", ["/v1/files/a/b:read"], ["/v1/files/a/b:write", "/v1/other/a:read"]),
    ],
)
def test_a_path_template_matches_the_paths_that_the_transcoder_matches(template: str, matches: list[str], differs: list[str]) -> None:
    regex = Binding("GET", template).path_regex
    assert all(re.fullmatch(regex, path) for path in matches)
    assert not any(re.fullmatch(regex, path) for path in differs)


def test_the_methods_of_one_path_are_listed_together(tmp_path: Path) -> None:
    rpcs = public_rpcs(_contract(tmp_path, {"List": ("get", "/things"), "Make": ("post", "/things"), "Drop": ("delete", "/things/{id}")}))
    assert allowed_methods(rpcs) == [("/things/?", ["GET", "POST"]), ("/things/[^/]+/?", ["DELETE"])]


def test_an_unusual_http_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unsupported HTTP method"):
        public_rpcs(_contract(tmp_path, {"Odd": ("custom", "/odd")}))


def test_settings_come_from_the_environment() -> None:
    settings = settings_from({"GATEWAY_PORT": "80", "ORCHESTRATORS": "a:1,b:2", "LUA_PATH": "/etc/envoy/envelope.lua", "HOME": "/root"})
    assert (settings.gateway_port, settings.orchestrators, settings.lua_path) == (80, (("a", 1), ("b", 2)), Path("/etc/envoy/envelope.lua"))
    assert settings.per_ip_rate == GatewaySettings().per_ip_rate


@pytest.mark.parametrize("environment", [{"GATEWAY_PORT": "eighty"}, {"ORCHESTRATORS": "a"}])
def test_an_invalid_setting_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="GatewaySettings"):
        settings_from(environment)


async def test_the_bootstrap_for_a_container_has_its_own_paths_and_is_valid(tmp_path: Path) -> None:
    settings = {"LISTEN_ADDRESS": "0.0.0.0", "ORCHESTRATORS": "orchestrator-0.mesh:50051,orchestrator-1.mesh:50051"}
    for name in ("descriptor_path", "lua_path", "requests_path", "shedding_path", "openapi_path"):
        source = getattr(GatewaySettings(), name)
        copy = tmp_path / f"copy of {source.name}"
        copy.write_bytes(source.read_bytes())
        settings[name.upper()] = str(copy)
    rendered = await _output([sys.executable, "-m", "gateway.envoy"], os.environ | settings)
    assert str(GatewaySettings().lua_path.parent) not in rendered
    cluster = yaml.safe_load(rendered)["static_resources"]["clusters"][0]
    assert (cluster["type"], len(cluster["load_assignment"]["endpoints"][0]["lb_endpoints"])) == ("STRICT_DNS", 2)
    bootstrap = tmp_path / "envoy.yaml"
    bootstrap.write_text(rendered)
    await _output([str(program()), "--mode", "validate", "-c", str(bootstrap)], {})


async def _output(command: list[str], environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def _contract(folder: Path, rules: dict[str, tuple[str, str]]) -> Path:
    file = FileDescriptorProto(name="things.proto", package="things.v1")
    service = file.service.add(name="Things")
    for name, (verb, path) in rules.items():
        options = service.method.add(name=name).options
        options.Extensions[access_pb2.access].open.SetInParent()
        rule = options.Extensions[annotations_pb2.http]
        if verb == "custom":
            rule.custom.kind, rule.custom.path = "ODD", path
        else:
            setattr(rule, verb, path)
    (folder / "contract.binpb").write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    return folder / "contract.binpb"
