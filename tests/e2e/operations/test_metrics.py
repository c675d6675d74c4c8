"""Rules and dashboards use only metrics and labels that a running platform exports."""

import re
from collections.abc import Mapping

import httpx
from prometheus_client import REGISTRY

from orchestrator.adapters.events import kafka_consumer, kafka_publisher  # noqa: F401 - the metrics of processes that need Kafka
from orchestrator.workflows import metrics  # noqa: F401 - those that have no sample before the first run
from tests.e2e.platform import Platform, question
from tests.support.waiting import eventually
from tests.unit.deploy.monitoring.expressions import ALERTS, RECORDS, metrics_in, shown

OF_PROMETHEUS = {"up", "ALERTS"}


async def exported(platform: Platform) -> Mapping[str, set[str]]:
    """The names of all samples of all processes and of Envoy, with their labels."""
    ports = platform.stack.ports
    processes = (*ports.orchestrator_metrics, *ports.worker_metrics, *ports.agent_metrics)
    addresses = [f"http://127.0.0.1:{port}/metrics" for port in processes]
    addresses.append(f"http://127.0.0.1:{ports.envoy_admin}/stats/prometheus")
    found: dict[str, set[str]] = {}
    async with httpx.AsyncClient() as http:
        for address in addresses:
            text = (await http.get(address)).text
            for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, flags=re.MULTILINE):
                found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def declared() -> Mapping[str, set[str]]:
    """The names and labels of the metrics in this process, for those that have no sample until something happens."""
    found: dict[str, set[str]] = {}
    for collector in set(REGISTRY._collector_to_names):
        labels = set(getattr(collector, "_labelnames", ()))
        for name in REGISTRY._collector_to_names[collector]:
            found[name] = labels | {"le"}
    return found


async def test_rules_and_dashboards_use_metrics_that_exist(platform: Platform) -> None:
    assert (await platform.execute(question())).status_code == 200

    async def counted() -> bool:
        return "execution_cost_micro_usd_total" in await exported(platform)

    await eventually(counted)
    running, known = await exported(platform), declared()
    expressions = {
        **{f"alert {name}": rule["expr"] for name, rule in ALERTS.items()},
        **{f"record {name}": one for name, one in RECORDS.items()},
    }
    wrong = []
    for where, expression in (*expressions.items(), *shown()):
        for name, labels in metrics_in(expression).items():
            if name in RECORDS or name in OF_PROMETHEUS:
                continue
            of_kafka = name.startswith("consumer_")
            if name not in running and not (name in known and (of_kafka or known[name] > {"le"})):
                wrong.append(f"{where}: nothing exports {name}")
            elif missing := labels - running.get(name, set()) - known.get(name, set()):
                wrong.append(f"{where}: {name} has no label {', '.join(sorted(missing))}")
    assert not wrong, "\n".join(wrong)
    assert running["db_pool_connections_limit"] == running["event_loop_lag_seconds_count"] == set()
