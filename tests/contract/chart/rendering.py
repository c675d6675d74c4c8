"""The chart as the real Helm renders it."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.helm.schema import CHART

VALUES = Path(__file__).parent / "values"
SETS = sorted(path.stem for path in VALUES.glob("*.yaml"))
NAMESPACE = "mesh-namespace"

Object = Mapping[str, Any]


class Refused(AssertionError):
    """Helm does not render the chart with these values; the text is its message."""


@dataclass(frozen=True)
class Helm:
    """Renders the chart; the same arguments only once."""

    program: Path

    @cache  # noqa: B019 - one instance for each test process
    def of(self, values: str) -> Sequence[Object]:
        """The objects of a release with one of the SETS."""
        return self.with_values("--values", str(VALUES / f"{values}.yaml"))

    @cache  # noqa: B019 - one instance for each test process
    def with_values(self, *arguments: str) -> Sequence[Object]:
        """The objects of a release named `release`. Raises Refused if Helm refuses the values."""
        command = [str(self.program), "template", "release", str(CHART), "--namespace", NAMESPACE, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise Refused(done.stderr)
        return [item for item in yaml.load_all(done.stdout, yaml.CSafeLoader) if item]


def of_kind(objects: Sequence[Object], kind: str) -> dict[str, Object]:
    """The objects of a kind by their names."""
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def workloads(objects: Sequence[Object]) -> dict[str, Object]:
    """The deployments, stateful sets and jobs by their components."""
    kinds = ("Deployment", "StatefulSet", "Job")
    return {item["metadata"]["labels"]["app.kubernetes.io/component"]: item for item in objects if item["kind"] in kinds}


def containers(workload: Object) -> Sequence[Object]:
    """Every container of its pods, those that run before the others included."""
    spec = workload["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(workload: Object) -> dict[str, Object]:
    """The variables of its program, by their names."""
    return {variable["name"]: variable for variable in containers(workload)[0].get("env", [])}
