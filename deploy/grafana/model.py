"""A dashboard as plain values, and the JSON that Grafana (10.4 or later) imports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 39
COLUMNS, PANEL_HEIGHT = 24, 8
_IN_A_LINE = 3
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Line:
    """A query, and how its series are called; `{{label}}` stands for the value of a label."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph over time."""

    title: str
    unit: str
    """One of Grafana's ids of units: `s`, `reqps`, `percentunit`, …"""
    description: str
    """What the lines mean, and when to worry."""
    lines: Sequence[Line]
    warns_above: float | None = None
    """The value above which the alert on this figure fires, drawn as a line."""
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its panels."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels. `uid` is its name in addresses and the name of its file."""

    uid: str
    title: str
    description: str
    sections: Sequence[Section]
    by_instance: bool = False
    """Whether its panels show the processes chosen at its top (`$instance`)."""

    def to_json(self) -> dict[str, Any]:
        """The document that Grafana imports, provisions or stores."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["agentmesh"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "links": [{"type": "dashboards", "title": "AgentMesh", "tags": ["agentmesh"], "asDropdown": True, "keepTime": True}],
            "annotations": {"list": [_alerts()]},
            "templating": {"list": [_datasource(), *([_instances()] if self.by_instance else [])]},
            "panels": list(self._panels()),
        }

    def _panels(self) -> Iterator[dict[str, Any]]:
        number, top = 1, 0
        for section in self.sections:
            place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
            yield {"id": number, "type": "row", "title": section.title, "collapsed": False, "panels": [], "gridPos": place}
            number, top = number + 1, top + 1
            for start in range(0, len(section.panels), _IN_A_LINE):
                beside = section.panels[start : start + _IN_A_LINE]
                width = COLUMNS // len(beside)
                for column, panel in enumerate(beside):
                    yield _panel(panel, number, {"x": column * width, "y": top, "w": width, "h": PANEL_HEIGHT})
                    number += 1
                top += PANEL_HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if panel.warns_above is not None:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        steps.append({"color": "red", "value": panel.warns_above})
    defaults = {"unit": panel.unit, "min": 0, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": line.expr, "legendFormat": line.legend}
            for index, line in enumerate(panel.lines)
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}, "hide": 0}


def _instances() -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Process",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(event_loop_lag_seconds_count, instance)", "refId": "instances"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing", severity="page"}',
        "titleFormat": "{{alertname}}",
    }
