"""`python -m tests.bench overload`: three times as many calls as the platform can answer, for half a minute.

The peak is the best goodput of a closed loop with a provider that takes 200 ms. Then an open loop sends three times that rate,
regardless of the outcomes. Goodput should stay at 80 % of the peak or more, refusals should come within 20 ms (median), and the
memory should return to its earlier size.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil

from tests.bench.cpu import cpu_seconds
from tests.bench.load import closed_loop
from tests.bench.load.open_loop import OpenLoop, Outcome
from tests.bench.sides import Side, mesh, provider

PROVIDER_SECONDS = 0.2
LEVELS = (64, 128, 192, 256, 320)
LEVEL_SECONDS = 5.0
FACTOR = 3
REST_SECONDS = 5.0
PATIENCE_SECONDS = 20.0


async def main(seconds: float) -> None:
    """Find the peak, overload the platform and print the figures."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="agentmesh-bench-"))
        url, _ = await stack.enter_async_context(provider(PROVIDER_SECONDS))
        everybody: dict[str, Any] = {"per_ip_rate": 1_000_000, "per_ip_burst": 1_000_000}  # all load comes from one address
        side = await stack.enter_async_context(mesh(Path(folder), url, **everybody))
        peak = await find_peak(side)
        memory = [resident(side.pids)]
        generator = OpenLoop(side.port, lambda: side.request)
        stack.callback(generator.close)
        before, own = cpu_seconds(side.pids), time.process_time()
        outcome = await generator.run(peak * FACTOR, seconds, PATIENCE_SECONDS)
        own, after = time.process_time() - own, cpu_seconds(side.pids)
        memory.append(resident(side.pids))
        await asyncio.sleep(REST_SECONDS)
        memory.append(resident(side.pids))
        show(outcome, peak, seconds)
        spent = {name: (after[name] - before[name]) / seconds for name in side.pids} | {"load generator": own / seconds}
        print("cores used     ", ", ".join(f"{name} {cores:.2f}" for name, cores in spent.items()))
        print("resident MB    ", "; ".join(", ".join(f"{name} {mb:.0f}" for name, mb in sizes.items()) for sizes in memory))
        again = await closed_loop.run("127.0.0.1", side.port, side.request, 64, LEVEL_SECONDS, forgiving=True)
        print(f"afterwards      {again.per_second:.0f}/s of a closed loop of 64, {again.failures} refused")


async def find_peak(side: Side) -> float:
    """The best goodput of a closed loop, in answers per second."""
    await closed_loop.run("127.0.0.1", side.port, side.request, LEVELS[0], LEVEL_SECONDS, forgiving=True)  # warm-up
    rates = []
    for in_flight in LEVELS:
        result = await closed_loop.run("127.0.0.1", side.port, side.request, in_flight, LEVEL_SECONDS, forgiving=True)
        rates.append(result.per_second)
        p50 = statistics.median(result.latencies) * 1000
        print(f"closed loop     {in_flight:>4} in flight: {result.per_second:>5.0f}/s, p50 {p50:.0f} ms, {result.failures} refused")
    return max(rates)


def show(outcome: Outcome, peak: float, seconds: float) -> None:
    """Print the outcome of the calls."""
    good, refused = outcome.latencies(200, seconds), outcome.latencies(503)
    print(f"open loop       {outcome.sent / seconds:.0f}/s for {seconds:.0f} s, {FACTOR} x the peak of {peak:.0f}/s")
    print(f"goodput         {len(good) / seconds:.0f}/s, {len(good) / seconds / peak:.0%} of the peak; {_spread(good)}")
    print(f"refused (503)   {len(refused)}; {_spread(refused)}")
    others = {status: len(times) for status, times in outcome.answers.items() if status not in (200, 503)}
    print(f"other answers   {others or 'none'}; never answered {outcome.sent - sum(map(len, outcome.answers.values()))}")


def resident(pids: Mapping[str, int]) -> dict[str, float]:
    """The memory of each process, in MB."""
    return {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in pids.items()}


def _spread(latencies: Sequence[float]) -> str:
    if len(latencies) < 2:
        return "no latencies"
    cuts = statistics.quantiles(latencies, n=20)
    return f"p50 {cuts[9] * 1000:.0f} ms, p95 {cuts[18] * 1000:.0f} ms"
