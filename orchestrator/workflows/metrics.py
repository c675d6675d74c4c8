"""The Prometheus metrics of workflows."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from orchestrator.workflows.model import Change, Run

RUNS = Counter("workflow_runs_total", "Changes of runs, by the status that they reached", ["status"])
STEPS = Counter("workflow_steps_total", "Changes of steps, by the status that they reached", ["status"])
QUEUE_AGE = Gauge("workflow_queue_age_seconds", "How long the oldest ready step has been due; 0 if none is waiting")
LEASED = Gauge("workflow_steps_held", "Steps that this worker holds a lease on")
SLOTS = Gauge("workflow_slots", "How many steps this worker runs at the same time; 0 in other processes")
CLAIMS = Counter("workflow_claims_total", "Claims of this worker, by whether they found steps", ["found"])


def count(changes: Iterable[Change]) -> None:
    for change in changes:
        counter = RUNS if isinstance(change.subject, Run) else STEPS
        counter.labels(change.subject.state.value).inc()
