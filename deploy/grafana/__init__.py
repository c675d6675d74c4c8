"""The Grafana dashboards: described in `pages.py`, written to `dashboards/*.json` by `python -m deploy.grafana`."""
