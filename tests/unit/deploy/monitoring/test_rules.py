"""The alert rules: promtool accepts them, each fires and stays quiet when it should, and the runbook explains each."""

import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.envoy.contract import public_rpcs
from mesh.rpc.access import RpcKind
from tests.unit.deploy.monitoring.cases import CASES, Case, Series
from tests.unit.deploy.monitoring.expressions import ALERTS, FILE_OF, RECORDS, ROOT, RULES, metrics_in


def accepted(promtool: Path, *arguments: str | Path) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def promtool_case(alert: str, case: Case, series: Series, *, fires: bool) -> dict[str, Any]:
    firing = f'min(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    samples = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "name": f"{alert} {'fires' if fires else 'is quiet'}",
        "interval": f"{case.interval_minutes}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{case.minutes}m", "exp_samples": samples}],
    }


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_only_then(promtool: Path, tmp_path: Path) -> None:
    accepted(promtool, "check", "rules", *RULES)
    suites = defaultdict[tuple[Path, int], list[dict[str, Any]]](list)  # promtool evaluates every rule of a suite in each of its cases
    for alert, case in CASES.items():
        for series, fires in ((case.fires, True), (case.quiet, False)):
            suites[FILE_OF[alert], case.evaluated_minutes].append(promtool_case(alert, case, series, fires=fires))
    written = []
    for number, ((rules, minutes), cases) in enumerate(suites.items()):
        written.append(tmp_path / f"{number}.yaml")
        written[-1].write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": f"{minutes}m", "tests": cases}))
    accepted(promtool, "test", "rules", *written)


def test_each_alert_has_its_cases() -> None:
    assert set(CASES) == set(ALERTS)
    for alert, case in CASES.items():
        for series in (case.fires, case.quiet):
            used = {re.split("[{]", name)[0] for name in series}
            assert used <= metrics_of(alert), alert


def metrics_of(alert: str) -> set[str]:
    """The metrics that an alert depends on, through recorded ones."""
    found, waiting = set[str](), [str(ALERTS[alert]["expr"])]
    while waiting:
        for name in metrics_in(waiting.pop()):
            if name in RECORDS:
                waiting.append(RECORDS[name])
            found.add(name)
    return found


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_severity_and_a_section_of_the_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (page, anchor) == ("docs/runbook.md", alert.lower())
    sections = re.split(r"^### ", (ROOT / page).read_text(), flags=re.MULTILINE)
    [section] = [text for text in sections if text.startswith(f"{alert}\n")]
    for part in ("*Meaning.*", "*Confirm.*", "*Do.*"):
        assert part in section, f"the section {alert} of {page} has no part {part}"
    assert "```" in section, f"the section {alert} of {page} has no command"


def test_the_runbook_explains_no_alert_that_does_not_exist() -> None:
    assert set(re.findall(r"^### (\w+)$", (ROOT / "docs/runbook.md").read_text(), flags=re.MULTILINE)) == set(ALERTS)


def test_the_service_levels_count_the_rpcs_that_they_say() -> None:
    """Every public rpc but probes; for latency, also without streams, agent calls and calls that may wait for a password hash."""
    rpcs = [rpc for rpc in public_rpcs(ROOT / "gen/descriptor.binpb") if rpc.kind is not RpcKind.PROBE]
    assert counted("agentmesh:calls:rate5m") == {rpc.path for rpc in rpcs}
    assert counted("agentmesh:calls_timed:rate5m") == {rpc.path for rpc in rpcs if rpc.kind is RpcKind.STANDARD and not rpc.streams}
    assert counted("agentmesh:calls_slow:rate5m") == counted("agentmesh:calls_timed:rate5m")


def counted(record: str) -> set[str]:
    """The rpcs, of every service of the mesh, whose calls a recorded metric counts."""
    matchers: Mapping[str, list[str]] = {
        operator: [pattern.replace("\\\\", "\\") for pattern in re.findall(rf'grpc_method{operator}"(.+?)"', RECORDS[record])]
        for operator in ("=~", "!~")
    }
    [wanted], unwanted = matchers["=~"], matchers["!~"]
    every = [rpc.path for rpc in public_rpcs(ROOT / "gen/descriptor.binpb")] + ["/agentmesh.agent.v1.AgentService/Execute"]
    return {path for path in every if re.fullmatch(wanted, path) and not any(re.fullmatch(one, path) for one in unwanted)}
