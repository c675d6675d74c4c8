"""Kubernetes accepts every object of the chart, and the chart's values are checked."""

import functools
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from deploy.helm.schema import CHART, FILE, as_text
from deploy.helm.settings import PROGRAMS, open_to_values
from tests.contract.chart.rendering import NAMESPACE, SETS, Helm, Refused, of_kind, workloads

SCHEMAS = CHART.parent / "schemas"
ROOT = CHART.parents[2]
OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()


@pytest.fixture(scope="module", autouse=True)
def _read_each_schema_once() -> Iterator[None]:
    """The package reads a megabyte of JSON for every object, which takes nearly all of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", functools.cache(kubernetes_validate.utils.schema_contents))
        yield


def check(item: Any, version: str) -> None:
    """Raise an error if Kubernetes of that version, or the owner of the custom resource, would refuse the object or ignore a field."""
    if (schema := SCHEMAS / f"{item['kind'].lower()}.json").exists():
        jsonschema_rs.validate(json.loads(schema.read_text()), item)
    else:
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("values", SETS)
def test_kubernetes_accepts_every_object(helm: Helm, values: str) -> None:
    for item in helm.of(values):
        for version in (OLDEST, NEWEST):
            check(item, version)


def test_the_sets_cover_every_kind(helm: Helm) -> None:
    kinds = {item["kind"] for values in SETS for item in helm.of(values)}
    templates = "".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    assert kinds == set(re.findall(r"^kind: (\w+)", templates, re.MULTILINE))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriodSecond"), 10),
        ("Certificate", ("spec", "dnsName"), ["x"]),
        ("Issuer", ("spec", "selfsigned"), {}),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "threshold"), 2),
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval"), "often"),
    ],
)
def test_a_misspelt_field_or_a_wrong_value_is_found(helm: Helm, kind: str, field: tuple[Any, ...], value: object) -> None:
    found = next(item for values in ("production", "defaults") for item in helm.of(values) if item["kind"] == kind)
    broken = at = json.loads(json.dumps(found))
    for key in field[:-1]:
        at = at[key]
    at[field[-1]] = value
    with pytest.raises((jsonschema_rs.ValidationError, kubernetes_validate.ValidationError)):
        check(broken, NEWEST)


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {chart["version"], chart["appVersion"]} == {project["version"]}
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


def test_the_upgrade_notes_have_the_version_of_the_chart() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert f"### {version}\n" in (ROOT / "docs" / "kubernetes.md").read_text()


def test_the_schema_of_the_values_is_up_to_date() -> None:
    """`python -m deploy.helm.schema` writes it."""
    assert FILE.read_text() == as_text()


def test_the_schema_knows_every_default() -> None:
    schema = json.loads(FILE.read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def missing(schema: Any, values: Any, path: str) -> Iterator[str]:
        for name, known in schema.get("properties", {}).items():
            if name not in values and name != "global":
                yield f"{path}{name}"
            elif isinstance(values.get(name), dict) and name not in ("scheduling", "resources"):
                yield from missing(known, values[name], f"{path}{name}.")

    assert list(missing(schema, defaults, "")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "orchestrator.settings.LIMIT_CALLZ=1"], "LIMIT_CALLZ"),
        (["--set", "orchestrator.settings.JWT_SECRET=x"], "JWT_SECRET"),
        (["--set", "worker.settings.DATABASE_URL=x"], "DATABASE_URL"),
        (["--set", "agents.replicas=3"], "replicas"),
        (["--set", "definitions.source=git"], "definitions"),
        (["--set", "definitions.source=volume"], "definitions.volume is empty"),
        (["--set", "definitions.source=configMap"], "definitions.files is empty"),
        (["--set", "tls.certManager.enabled=false"], "is empty: name the secret with tls.crt"),
        (["--set", "worker.keda.enabled=true"], "worker.keda.prometheusUrl is empty"),
        (["--set", "worker.keda.enabled=true,metrics.enabled=false"], "set metrics.enabled"),
        (["--set", "metrics.enabled=false,metrics.serviceMonitor.enabled=true"], "set metrics.enabled"),
        (["--set", "gateway.ingress.enabled=true"], "gateway.ingress.hosts is empty"),
        (["--kube-version", "1.29.0"], "kubeVersion"),
    ],
)
def test_values_that_cannot_work_are_refused(helm: Helm, arguments: list[str], message: str) -> None:
    with pytest.raises(Refused, match=re.escape(message)):
        helm.with_values(*arguments)


def test_definitions_that_do_not_fit_into_a_configmap_are_refused(helm: Helm, tmp_path: Path) -> None:
    files = {f"finance/agent{number}.yaml": "x" * 100_000 for number in range(10)}
    (tmp_path / "values.yaml").write_text(json.dumps({"definitions": {"source": "configMap", "files": files}}))
    with pytest.raises(Refused, match="files has 1000190 bytes"):
        helm.with_values("--values", str(tmp_path / "values.yaml"))


def test_two_definitions_with_the_same_key_are_refused(helm: Helm, tmp_path: Path) -> None:
    files = {"finance/a.yaml": "a", "finance.a.yaml": "b"}
    (tmp_path / "values.yaml").write_text(json.dumps({"definitions": {"source": "configMap", "files": files}}))
    with pytest.raises(Refused, match=r"finance/a\.yaml.* the same key"):
        helm.with_values("--values", str(tmp_path / "values.yaml"))


def test_definitions_of_the_values_are_mounted_under_their_paths(helm: Helm) -> None:
    objects = helm.of("own-definitions")
    config = of_kind(objects, "ConfigMap")["release-agentmesh-definitions"]["data"]
    for component in ("orchestrator", "worker", "agents"):
        spec = workloads(objects)[component]["spec"]["template"]["spec"]
        volume = next(volume for volume in spec["volumes"] if volume["name"] == "definitions")
        paths = {item["path"]: config[item["key"]] for item in volume["configMap"]["items"]}
        assert paths.keys() == {"finance/treasurer.yaml", "legal/clerk.yaml"}
        assert yaml.safe_load(paths["finance/treasurer.yaml"])["prompt"] == "You are {{title}}.\n"
        assert {"name": "definitions", "mountPath": "/etc/agentmesh/definitions", "readOnly": True} in spec["containers"][0]["volumeMounts"]


def test_workers_scale_by_the_age_of_their_queue(helm: Helm) -> None:
    trigger = of_kind(helm.of("production"), "ScaledObject")["mesh-worker"]["spec"]["triggers"][0]
    assert trigger["metadata"]["query"] == f'max(workflow_queue_age_seconds{{namespace="{NAMESPACE}"}})'
    assert (trigger["metadata"]["threshold"], trigger["metricType"]) == ("1.5", "Value")


def test_a_program_without_open_settings_is_only_the_migration() -> None:
    assert [name for name in PROGRAMS if not open_to_values(name)] == ["migrations"]
