"""The dashboards: generated from their description, valid for Grafana, and every expression valid for Prometheus."""

import subprocess
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import pages
from deploy.grafana.__main__ import rendered
from deploy.grafana.model import COLUMNS, SCHEMA_VERSION
from tests.unit.deploy.monitoring.expressions import DASHBOARDS, ROOT, panels, shown

NAMES = sorted(DASHBOARDS)
UNITS = {"currencyUSD", "percentunit", "percent", "reqps", "ops", "s", "ms", "d", "bytes", "short"}
"""Ids of Grafana's units (packages/grafana-data/src/valueFormats/categories.ts)."""


def test_the_files_are_what_the_description_says() -> None:
    files = {path.stem: path.read_text() for path in (ROOT / "deploy/grafana/dashboards").iterdir()}
    assert files == {one.uid: rendered(one) for one in pages.DASHBOARDS}, "run python -m deploy.grafana"


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_has_what_grafana_requires(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert (dashboard["uid"], dashboard["schemaVersion"]) == (name, SCHEMA_VERSION)
    assert len(name) <= 40  # Grafana's limit
    variables = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
    assert variables["datasource"] == "datasource"
    assert ("instance" in variables) == ("$instance" in str(dashboard["panels"]))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_has_a_unit_a_description_and_the_datasource_variable(name: str) -> None:
    titles = [panel["title"] for panel in panels(DASHBOARDS[name])]
    assert len(set(titles)) == len(titles)
    for panel in panels(DASHBOARDS[name]):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert {part["datasource"]["uid"] for part in (panel, *panel["targets"])} == {"${datasource}"}, panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


@pytest.mark.parametrize("name", NAMES)
def test_no_panels_overlap_and_none_leaves_the_grid(name: str) -> None:
    for panel in DASHBOARDS[name]["panels"]:
        assert 0 <= panel["gridPos"]["x"] < panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS
    for one, other in combinations(DASHBOARDS[name]["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), f"{one['title']} and {other['title']}"


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or above)


@pytest.mark.slow
def test_every_expression_is_valid_for_prometheus(promtool: Path, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expression} for number, (_, expression) in enumerate(shown())]
    assert len(rules) > 50
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", "--lint=none", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
