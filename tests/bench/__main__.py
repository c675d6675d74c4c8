"""`python -m tests.bench <name>`: one benchmark. `make bench` runs several, and compares this tree with another commit."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from tests.bench import analytics, calls, compare, costs, fairness, interceptors, login_flood, overload, ready_flood, search, workflows

BENCHMARKS: dict[str, Callable[..., Coroutine[Any, Any, int | None]]] = {
    "calls": calls.main,
    "interceptors": interceptors.main,
    "overload": overload.main,
    "logins": login_flood.main,
    "workflows": workflows.main,
    "fairness": fairness.main,
    "costs": costs.main,
    "ready": ready_flood.main,
    "analytics": analytics.main,
    "search": search.main,
    "compare": compare.main,
}


def arguments() -> argparse.Namespace:
    """The benchmark to run, and its own options."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)

    def benchmark(name: str, text: str, **options: tuple[float | int | str, str]) -> argparse.ArgumentParser:
        added = names.add_parser(name, help=text, description=text)
        for option, (default, explanation) in options.items():
            added.add_argument(f"--{option}", type=type(default), default=default, help=f"{explanation} (default {default})")
        return added

    slices = "seconds that each slice of load takes"
    benchmark("calls", "agent calls beside the FastAPI build and the bare hops", rounds=(12, "rounds per level"), seconds=(1.5, slices))
    benchmark("interceptors", "what it takes to authenticate, count and permit a call", calls=(2000, "calls per interceptor"))
    benchmark("overload", "three times as many calls as can be answered", seconds=(30.0, "seconds of overload"))
    benchmark("logins", "agent calls during a flood of logins", rounds=(5, "rounds per flood"), seconds=(5.0, slices))
    benchmark(
        "workflows",
        "durable three-step runs",
        seconds=(15.0, "seconds of each measurement"),
        runs=(10_000, "runs to queue and drain; 0 for none"),
    )
    benchmark("fairness", "another user's run behind a long queue", steps=(5000, "steps to queue"), runs=(20, "runs to time"))
    benchmark(
        "costs",
        "another user's calls beside requests that cost far more than their size; exits with 1 if their p99 rises by over 50 ms",
        only=("", "measure the rpcs and doors whose names contain this"),
        rounds=(4, "rounds until a rise counts"),
    )
    benchmark("analytics", "every question to analytics", executions=(10_000_000, "executions that the cells count"))
    benchmark("ready", "agent calls beside a flood of /ready", rounds=(5, "rounds"), seconds=(5.0, slices))
    benchmark("search", "the judged set: recall, right role and refusals by language")
    compared = benchmark(
        "compare",
        "this tree against another commit; exits with 1 if this tree is more than 3 %% slower",
        rounds=(compare.ROUNDS, "rounds, at least 12 for a verdict"),
        seconds=(0.0, "seconds that each slice of load takes; 0 for 1.5 (calls) or 5 (workflows)"),
    )
    compared.add_argument("benchmark", choices=list(compare.LEVELS))
    compared.add_argument("base", help="the commit to compare with")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = vars(arguments())
    running = BENCHMARKS[chosen.pop("name")](**chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(f"$ python -m tests.bench {' '.join(sys.argv[1:])}", flush=True)
        sys.exit(runner.run(running))
