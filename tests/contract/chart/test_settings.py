"""The programs understand the environment that the chart gives them, and Envoy the bootstrap that comes from it."""

import subprocess
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from deploy.helm.settings import DECIDED, DECIDED_OF_GATEWAY, PROGRAMS, names
from deploy.local.ports import LocalPorts
from deploy.local.secrets.certs import DevelopmentAuthority
from deploy.local.servers.envoy import program
from gateway.envoy.__main__ import settings_from
from gateway.envoy.folder import write_folder
from gateway.envoy.render import GatewaySettings
from mesh.security.certificates import TlsFolder
from mesh.security.identities import AGENT_HOST, GATEWAY, ORCHESTRATOR, WORKER
from tests.contract.chart.rendering import NAMESPACE, SETS, Helm, containers, environment, of_kind, workloads
from tests.support.call_tokens import PRIVATE_KEY, PUBLIC_KEY

LIBPQ = {"PGSSLMODE", "PGSSLROOTCERT"}
"""Variables that asyncpg reads itself."""
SECRETS = {
    "DATABASE_URL": "postgresql+asyncpg://agentmesh:secret@db.example.com:5432/agentmesh",
    "REDIS_URL": "rediss://redis.example.com:6379/0",
    "JWT_SECRET": "Zr6wXq3vPn8sKd1fGh5jLm9tBc2yUe7aQo4i",
    "JWT_SECRET_PREVIOUS": "Wr6wXq3vPn8sKd1fGh5jLm9tBc2yUe7aQo4i",
    "ANTHROPIC_API_KEY": "key",
    "AGENT_SHARD": "0",
}
FILES = {
    "call-token.key": PRIVATE_KEY,
    "call-token.pub": PUBLIC_KEY,
    "gateway.secret": "Zr6wXq3vPn8sKd1fGh5jLm9tBc2yUe7aQo4i",
}
FOR_A_CLUSTER = {
    "orchestrator": {"HOST_ADDRESS", "MESH_TLS_DIR", "GATEWAY_SECRET_FILE", "AGENT_HOST_TEMPLATE", "AGENT_SHARDS", "DB_POOL_SIZE"},
    "worker": {"MESH_TLS_DIR", "AGENT_HOST_TEMPLATE", "AGENT_SHARDS", "DB_POOL_SIZE", "DB_MAX_OVERFLOW"},
    "agents": {"HOST_ADDRESS", "MESH_TLS_DIR", "AGENT_SHARDS", "AGENT_SHARD", "MODEL_PROVIDER"},
    "consumer": set(),
    "migrations": set(),
}
"""Settings whose defaults are for a single machine, beside those that have no default."""
OF_EVERY_PROGRAM = {"HEALTH_ADDRESS", "HEALTH_PORT", "METRICS_PORT", "DRAIN_GRACE_SECONDS", "DEFINITIONS_CACHE"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the keys, as a pod sees it."""
    folder = tmp_path_factory.mktemp("keys")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def given(variables: Mapping[str, Any], keys: Path) -> dict[str, str]:
    """The values of the variables, with those of the secrets filled in."""
    values = {name: SECRETS[name] if "valueFrom" in variable else variable["value"] for name, variable in variables.items()}
    return {name: value.replace("/etc/agentmesh/keys", str(keys)) for name, value in values.items()}


@pytest.mark.parametrize("values", SETS)
def test_every_variable_is_a_setting_of_its_program(helm: Helm, values: str) -> None:
    for component, workload in workloads(helm.of(values)).items():
        known = {*names(component), *(LIBPQ if component != "gateway" else ())}
        common = {name for program in PROGRAMS for name in names(program)}
        unknown = set(environment(workload)) - known
        assert unknown <= common - (DECIDED if component != "gateway" else common), (component, unknown)


@pytest.mark.parametrize("values", SETS)
def test_each_program_accepts_its_environment(helm: Helm, keys: Path, values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for component, workload in workloads(helm.of(values)).items():
        if component == "gateway":
            continue
        with monkeypatch.context() as patch:
            for name, value in given(environment(workload), keys).items():
                patch.setenv(name, value)
            settings = PROGRAMS[component]()
        if component == "orchestrator":
            assert settings.model_dump()["gateway_secret_file"] == keys / "gateway.secret"


def test_the_chart_gives_what_a_cluster_needs(helm: Helm) -> None:
    for component, workload in workloads(helm.of("production")).items():
        if component == "gateway":
            assert set(environment(workload)) >= DECIDED_OF_GATEWAY
            continue
        required = {name.upper() for name, field in PROGRAMS[component].model_fields.items() if field.is_required()}
        wanted = required | FOR_A_CLUSTER[component] | (OF_EVERY_PROGRAM if component != "migrations" else set())
        assert wanted <= set(environment(workload)), component


def test_settings_of_the_values_reach_their_programs(helm: Helm) -> None:
    found = workloads(helm.of("production"))
    assert environment(found["orchestrator"])["LIMIT_CONTEXT_BYTES"]["value"] == "1048576"
    assert environment(found["orchestrator"])["EVENT_RETENTION_DAYS"]["value"] == "7.5"
    assert environment(found["worker"])["LIMIT_AGENT_CALLS"]["value"] == "6000"
    assert environment(found["agents"])["MODEL_DEFAULT"]["value"] == "claude-opus-5-5"
    assert "LIMIT_CALLS" not in environment(found["worker"])


def test_the_shard_of_a_host_is_its_ordinal_and_its_name_is_in_the_template(helm: Helm) -> None:
    objects = helm.of("production")
    hosts = workloads(objects)["agents"]
    shard = environment(hosts)["AGENT_SHARD"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert shard == "metadata.labels['apps.kubernetes.io/pod-index']"
    name, service = hosts["metadata"]["name"], hosts["spec"]["serviceName"]
    assert of_kind(objects, "Service")[service]["spec"]["clusterIP"] == "None"
    for caller in ("orchestrator", "worker"):
        variables = environment(workloads(objects)[caller])
        assert variables["AGENT_HOST_TEMPLATE"]["value"].format(shard=3) == f"{name}-3.{service}.{NAMESPACE}.svc"
        assert variables["AGENT_SHARDS"]["value"] == str(hosts["spec"]["replicas"]) == "4"


def test_the_ports_are_those_of_the_local_stack(helm: Helm) -> None:
    local = LocalPorts.at(0)
    found = workloads(helm.of("defaults"))
    ports = {
        component: {port["name"]: port["containerPort"] for port in containers(workload)[-1].get("ports", [])}
        for component, workload in found.items()
    }
    assert ports["gateway"]["http"] == local.gateway
    assert (ports["orchestrator"]["grpc"], ports["orchestrator"]["metrics"]) == (local.orchestrators[0], local.orchestrator_metrics[0])
    assert (ports["worker"]["metrics"], ports["agents"]["metrics"]) == (local.worker_metrics[0], local.agent_metrics[0])
    policy = of_kind(helm.of("defaults"), "NetworkPolicy")["release-agentmesh-agents"]["spec"]["ingress"][0]["ports"][0]
    assert range(policy["port"], policy["endPort"] + 1) == local.agents


def test_the_programs_accept_certificates_with_the_names_of_the_chart(helm: Helm, tmp_path: Path) -> None:
    certificates = of_kind(helm.of("defaults"), "Certificate")
    authority = DevelopmentAuthority(tmp_path)
    asked = {uri for one in certificates.values() for uri in one["spec"].get("uris", [])}
    assert asked == {ORCHESTRATOR, WORKER, AGENT_HOST, GATEWAY}
    for one in certificates.values():
        for uri in one["spec"].get("uris", []):
            TlsFolder(authority.issue(uri, one["spec"]["dnsNames"]), uri)


@pytest.mark.parametrize("values", ["defaults", "production"])
def test_envoy_accepts_the_bootstrap_of_the_chart(helm: Helm, keys: Path, values: str, tmp_path: Path) -> None:
    """The certificates are real ones, because Envoy reads them."""
    authority = DevelopmentAuthority(tmp_path / "certs")
    folder = authority.issue(GATEWAY)
    variables = given(environment(workloads(helm.of(values))["gateway"]), keys)
    bootstrap = write_folder(settings_from({**variables, "TLS_DIR": str(folder)}), tmp_path / "gateway")
    command = [str(program()), "--mode", "validate", "--config-path", str(bootstrap), "--disable-hot-restart", "--log-level", "error"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "address: 0.0.0.0" in bootstrap.read_text() or '"0.0.0.0"' in bootstrap.read_text()
    assert f'"release-agentmesh-orchestrator.{NAMESPACE}.svc"' in bootstrap.read_text() or values != "defaults"
    assert "/stats/prometheus" in bootstrap.read_text()


def test_the_gateway_has_a_field_for_every_decided_variable() -> None:
    assert {field.name.upper() for field in fields(GatewaySettings)} >= DECIDED_OF_GATEWAY
