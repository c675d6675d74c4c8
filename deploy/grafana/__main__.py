"""`python -m deploy.grafana`: writes the dashboards."""

import json
from pathlib import Path

from deploy.grafana.model import Dashboard
from deploy.grafana.pages import DASHBOARDS

FOLDER = Path(__file__).parent / "dashboards"


def rendered(dashboard: Dashboard) -> str:
    """The content of the dashboard's file."""
    return json.dumps(dashboard.to_json(), indent=1) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(rendered(dashboard))
