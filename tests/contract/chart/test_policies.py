"""The rendered chart satisfies our own policies, and each policy finds what it is for."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from deploy.helm.schema import CHART
from tests.contract.chart.rendering import SETS, Helm

POLICIES = CHART.parent / "policies"
Edit = Callable[[Mapping[str, Any]], object]


def denials(opa: Path, cases: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """What the policies say about each list of objects."""
    query = "{name: found | some name, case in input.cases; found := data.chart.deny with input as case}"
    command = [str(opa), "eval", "--data", str(POLICIES), "--stdin-input", "--format", "raw", query]
    given = json.dumps({"cases": {name: {"objects": objects} for name, objects in cases.items()}})
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_the_chart_satisfies_every_policy(helm: Helm, opa: Path) -> None:
    assert denials(opa, {values: helm.of(values) for values in SETS}) == {values: [] for values in SETS}


def orchestrator(objects: Mapping[str, Any]) -> Any:
    return objects["Deployment mesh-orchestrator"]["spec"]["template"]


def first(objects: Mapping[str, Any]) -> Any:
    return orchestrator(objects)["spec"]["containers"][0]


def variable(objects: Mapping[str, Any], name: str) -> Any:
    return next(one for one in first(objects)["env"] if one["name"] == name)


def volume(objects: Mapping[str, Any], name: str) -> Any:
    return next(one for one in orchestrator(objects)["spec"]["volumes"] if one["name"] == name)


FAULTS: dict[str, Edit] = {
    "set runAsNonRoot": lambda o: orchestrator(o)["spec"]["securityContext"].update(runAsUser=0),
    "set seccompProfile": lambda o: orchestrator(o)["spec"]["securityContext"].pop("seccompProfile"),
    "hostNetwork of the node": lambda o: orchestrator(o)["spec"].update(hostNetwork=True),
    "a type that `restricted` forbids": lambda o: volume(o, "cache").update(hostPath={"path": "/"}),
    "forbid privilege escalation": lambda o: first(o)["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}),
    "request CPU and memory": lambda o: first(o)["resources"].pop("limits"),
    "a limit on CPU": lambda o: first(o)["resources"]["limits"].update(cpu="1"),
    "needs a version": lambda o: first(o).update(image="agentmesh:latest"),
    "a readiness probe": lambda o: first(o).pop("readinessProbe"),
    "use probes of the kind grpc": lambda o: first(o).update(livenessProbe={"tcpSocket": {"port": "grpc"}}),
    "too short for DRAIN_GRACE_SECONDS 600": lambda o: orchestrator(o)["spec"].update(terminationGracePeriodSeconds=600),
    "too short for a preStop hook": lambda o: o["Deployment mesh-gateway"]["spec"]["template"]["spec"].pop("terminationGracePeriodSeconds"),
    "must come from a Secret": lambda o: variable(o, "JWT_SECRET").update(valueFrom=None, value="x"),
    "ANTHROPIC_API_KEY is not for this component": lambda o: variable(o, "JWT_SECRET").update(name="ANTHROPIC_API_KEY"),
    "call-token.pub is not for this component": lambda o: volume(o, "keys")["secret"]["items"][0].update(path="call-token.pub"),
    "mount the keys of a Secret by name": lambda o: volume(o, "keys")["secret"].pop("items"),
    "automountServiceAccountToken": lambda o: orchestrator(o)["spec"].pop("automountServiceAccountToken"),
    "must not contain secrets": lambda o: o["ServiceAccount mesh"].update(kind="Secret"),
    "selects no pod": lambda o: o["PodDisruptionBudget mesh-worker"]["spec"]["selector"]["matchLabels"].update(x="y"),
    "selects the pods of several": lambda o: o["Service mesh"]["spec"]["selector"].pop("app.kubernetes.io/component"),
    "no container of its pods has the port": lambda o: o["Service mesh"]["spec"]["ports"][0].update(targetPort="https"),
    "must not have replicas": lambda o: o["Deployment mesh-worker"]["spec"].update(replicas=2),
    "which does not exist": lambda o: o["ScaledObject mesh-worker"]["spec"]["scaleTargetRef"].update(name="mesh-workers"),
    "have no network policy": lambda o: o.pop("NetworkPolicy mesh-consumer"),  # type: ignore[attr-defined]
    "no ServiceMonitor that selects": lambda o: o["ServiceMonitor mesh"]["spec"]["selector"]["matchLabels"].update(x="y"),
    "is missing": lambda o: o["Service mesh"]["metadata"]["labels"].pop("app.kubernetes.io/version"),
    "longer than 63 characters": lambda o: o["Service mesh"]["metadata"].update(name="m" * 64),
}


@pytest.fixture(scope="module")
def found(helm: Helm, opa: Path) -> dict[str, list[str]]:
    """What the policies say about the production release with each of the faults."""
    cases = {}
    for name, edit in FAULTS.items():
        objects = {f"{one['kind']} {one['metadata']['name']}": deepcopy(one) for one in helm.of("production")}
        edit(objects)
        cases[name] = list(objects.values())
    return denials(opa, cases)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_policy_finds_the_fault(found: dict[str, list[str]], fault: str) -> None:
    assert any(fault in message for message in found[fault])


def test_every_policy_has_a_fault_that_it_finds() -> None:
    rules = sum(path.read_text().count("\ndeny contains") for path in POLICIES.glob("*.rego"))
    assert rules == len(FAULTS)
