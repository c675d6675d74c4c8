"""The rules and dashboards as the tests see them: their expressions, and the metrics and labels in these."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[4]
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yaml"))
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))}
_RULES = [(path, rule) for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
ALERTS: Mapping[str, Any] = {rule["alert"]: rule for _, rule in _RULES if "alert" in rule}
FILE_OF: Mapping[str, Path] = {rule["alert"]: path for path, rule in _RULES if "alert" in rule}
RECORDS: Mapping[str, str] = {rule["record"]: rule["expr"] for _, rule in _RULES if "record" in rule}

_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\s*(?:\{([^}]*)\})?")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_DURATION = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_OF_PROMETHEUS = {"job", "instance", "le"}


def panels(dashboard: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The panels that show something: all but the headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def shown() -> Iterator[tuple[str, str]]:
    """The name of each panel and each of its expressions, with values for Grafana's variables."""
    for name, dashboard in DASHBOARDS.items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")


def metrics_in(expression: str) -> Mapping[str, set[str]]:
    """The metrics of an expression, each with the labels that are matched on it. Labels to group by count for every metric."""
    text = _DURATION.sub(" ", expression)
    grouped = {label.strip() for labels in _GROUPING.findall(text) for label in labels.split(",")} - _OF_PROMETHEUS - {""}
    text = _GROUPING.sub(" ", text)
    found: dict[str, set[str]] = {}
    for match in _SELECTOR.finditer(_blank_strings(text)):
        name = match[1]
        followed_by = text[match.end() :].lstrip()[:1]
        if name in _WORDS or followed_by == "(" or (match.start() and text[match.start() - 1] in "0123456789."):
            continue
        labels = set(re.findall(r"(\w+)\s*(?:=|!)", match[2] or ""))
        found.setdefault(name, set()).update(labels - _OF_PROMETHEUS, grouped)
    return found


def _blank_strings(text: str) -> str:
    """The text with each string replaced by as many spaces, because strings may contain braces and names."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda match: '"' + " " * (len(match[0]) - 2) + '"', text)
