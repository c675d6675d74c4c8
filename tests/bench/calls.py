"""`python -m tests.bench calls`: an agent call through the gateway, compared with a plain FastAPI build of the same platform.

The third side is the floor: the mesh's hops (Envoy, two gRPC services, the SDK) without its work. No mesh of this architecture can
be faster. The sides take slices of load in turn (mesh, peer, floor, floor, peer, …) for many short rounds at 1, 16 and 64 requests in
flight. Figures are medians of the rounds, ratios are medians of each round's ratio. Other programs may use the machine, so compare the
sides of one run, not two runs. When both cores are busy, the ratio of the rates follows the ratio of the CPU that a call takes in all
processes of a side, and the CPU is the steadier of the two.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cpu import cpu_seconds
from tests.bench.load import closed_loop
from tests.bench.sides import Side, floor, mesh, peer, provider

GENERATOR = "load generator"
PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Measured:
    """One slice, and the CPU time in milliseconds that each process used for one of its calls."""

    slice: closed_loop.Slice
    cpu_ms: dict[str, float]

    @property
    def total_cpu_ms(self) -> float:
        """Of all processes, including the load generator and the provider."""
        return sum(self.cpu_ms.values())


async def measure(side: Side, shared: dict[str, int], in_flight: int, seconds: float) -> Measured:
    """Put one slice of load on one side."""
    pids = {**side.pids, **shared}
    before, own = cpu_seconds(pids), time.process_time()
    result = await closed_loop.run("127.0.0.1", side.port, side.request, in_flight, seconds)
    own, after = time.process_time() - own, cpu_seconds(pids)
    calls = len(result.latencies)
    spent = {name: after[name] - before[name] for name in pids} | {GENERATOR: own}
    return Measured(result, {name: seconds / calls * 1000 for name, seconds in spent.items()})


async def main(rounds: int, seconds: float) -> None:
    """Measure the three sides and print the figures."""
    async with AsyncExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentmesh-bench-"))) for _ in range(2)]
        url, provider_pid = await stack.enter_async_context(provider())
        sides = [await stack.enter_async_context(side) for side in (mesh(folders[0], url), peer(url), floor(folders[1], url))]
        shared = {PROVIDER: provider_pid}
        for side in sides:
            await measure(side, shared, 16, seconds)  # warm-up: connections, code paths, prepared statements
        for in_flight in (1, 16, 64):
            taken: dict[str, list[Measured]] = {side.name: [] for side in sides}
            for turn in range(rounds):
                for side in sides if turn % 2 == 0 else reversed(sides):
                    taken[side.name].append(await measure(side, shared, in_flight, seconds))
            show(in_flight, taken)


def show(in_flight: int, taken: dict[str, list[Measured]]) -> None:
    """Print the figures of one level of load."""
    print(f"\n{in_flight} in flight{'req/s':>22}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms':>10}   of a call, which is")
    for name, results in taken.items():
        rate = statistics.median(r.slice.per_second for r in results)
        p50, p95 = (statistics.median(quantile(r.slice.latencies, q) for r in results) * 1000 for q in (0.5, 0.95))
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


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]
