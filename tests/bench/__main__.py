"""`make bench`: an agent call through the gateway, beside the plain FastAPI build of lld.md, in one run; or `workflows`.

Beside both stands the floor: the mesh's hops (Envoy, two gRPC services, the SDK) without its work. No mesh of this architecture gets
below that. Slices of load are taken in turn (mesh, peer, floor, floor, peer, …), many short rounds at 1, 16 and 64 requests in flight;
figures are medians of rounds, ratios are medians of each round's ratio. The machine may be shared: compare columns, not runs. Where both
cores are busy the ratio of the rates follows that of the CPU that a call takes in all processes of a side, and the CPU is the steadier
of the two.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import fairness, interceptors, load, login_flood, overload, workflows
from tests.bench.cpu import cpu_seconds
from tests.bench.sides import Side, floor, mesh, peer, provider

GENERATOR = "load generator"
PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Measured:
    """One slice and the CPU that each process spent on a call in it, in milliseconds."""

    slice: load.Slice
    cpu_ms: dict[str, float]

    @property
    def total_cpu_ms(self) -> float:
        """All of it, with what the load and the provider took."""
        return sum(self.cpu_ms.values())


async def measure(side: Side, shared: dict[str, int], in_flight: int, seconds: float) -> Measured:
    """One slice of load on one side."""
    pids = {**side.pids, **shared}
    before, own = cpu_seconds(pids), time.process_time()
    result = await load.run("127.0.0.1", side.port, side.request, in_flight, seconds)
    own, after = time.process_time() - own, cpu_seconds(pids)
    calls = len(result.latencies)
    spent = {name: after[name] - before[name] for name in pids} | {GENERATOR: own}
    return Measured(result, {name: seconds / calls * 1000 for name, seconds in spent.items()})


async def main(rounds: int, seconds: float) -> None:
    """Runs the comparison and prints it."""
    async with AsyncExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentmesh-bench-"))) for _ in range(2)]
        url, provider_pid = await stack.enter_async_context(provider())
        sides = [await stack.enter_async_context(side) for side in (mesh(folders[0], url), peer(url), floor(folders[1], url))]
        shared = {PROVIDER: provider_pid}
        for side in sides:
            await measure(side, shared, 16, seconds)  # warm up: connections, code paths, prepared statements
        for in_flight in (1, 16, 64):
            taken: dict[str, list[Measured]] = {side.name: [] for side in sides}
            for turn in range(rounds):
                for side in sides if turn % 2 == 0 else reversed(sides):
                    taken[side.name].append(await measure(side, shared, in_flight, seconds))
            show(in_flight, taken)


def show(in_flight: int, taken: dict[str, list[Measured]]) -> None:
    """Prints what was measured at one level of load."""
    print(f"\n{in_flight} in flight{'req/s':>22}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms':>10}   of a call, which is")
    for name, results in taken.items():
        rate = statistics.median(r.slice.per_second for r in results)
        p50, p95 = (statistics.median(_quantile(r.slice.latencies, q) for r in results) * 1000 for q in (0.5, 0.95))
        cpu = {process: statistics.median(r.cpu_ms[process] for r in results) for process in results[0].cpu_ms}
        costs = ", ".join(f"{process} {ms:.2f}" for process, ms in cpu.items())
        total = statistics.median(r.total_cpu_ms for r in results)
        print(f"{name:>12}{rate:>22.0f}{p50:>10.2f}{p95:>10.2f}{total:>10.2f}   {costs}")
    for name in ("mesh", "floor"):
        pairs = list(zip(taken[name], taken["peer"], strict=True))
        rates = [side.slice.per_second / peer.slice.per_second for side, peer in pairs]
        cpu_ratio = statistics.median(side.total_cpu_ms / peer.total_cpu_ms for side, peer in pairs)
        each = ", ".join(f"{ratio:.2f}" for ratio in rates)
        print(f"{f'{name} / peer':>12}{statistics.median(rates):>22.2f}{cpu_ratio:>30.2f}   (req/s in each round: {each})")


def _quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def arguments() -> argparse.Namespace:
    """What to measure, and for how long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode")
    calls = modes.add_parser("calls", help="agent calls beside the FastAPI build (the default)")
    calls.add_argument("--rounds", type=int, default=12)
    calls.add_argument("--seconds", type=float, default=1.5, help="length of a slice")
    runs = modes.add_parser("workflows", help="durable three-step runs")
    runs.add_argument("--seconds", type=float, default=15.0, help="length of a measurement")
    runs.add_argument("--runs", type=int, default=10_000, help="how many runs to queue and drain; 0 for none")
    fair = modes.add_parser("fairness", help="another user's run behind a long queue")
    fair.add_argument("--steps", type=int, default=5_000, help="how many steps to queue")
    fair.add_argument("--runs", type=int, default=20, help="how many runs of the other user to time")
    over = modes.add_parser("overload", help="three times as many calls as can be answered")
    over.add_argument("--seconds", type=float, default=30.0)
    known = modes.add_parser("interceptors", help="what it takes to know, count and permit a caller")
    known.add_argument("--calls", type=int, default=2000)
    flooded = modes.add_parser("logins", help="agent calls during a flood of logins")
    flooded.add_argument("--rounds", type=int, default=5)
    flooded.add_argument("--seconds", type=float, default=5.0, help="length of a slice")
    given = sys.argv[1:]
    return parser.parse_args(given if given and not given[0].startswith("--") else ["calls", *given])


MODES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "calls": main,
    "workflows": workflows.main,
    "fairness": fairness.main,
    "overload": overload.main,
    "interceptors": interceptors.main,
    "logins": login_flood.main,
}

if __name__ == "__main__":
    chosen = vars(arguments())
    measuring = MODES[chosen.pop("mode")](**chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(f"$ python -m tests.bench {' '.join(sys.argv[1:])}")
        runner.run(measuring)
