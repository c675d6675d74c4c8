"""`python -m tests.bench logins`: 200 login attempts a second, each under a new name, and their effect on agent calls.

Slices with and without the flood alternate: once with the limits as shipped, where the flood's address is soon refused, and once
without a limit for addresses, as if each attempt came from another one. Then only the short queue of the single hashing thread
protects the platform. The p50 of agent calls should change by no more than 20 %.
"""

import asyncio
import itertools
import json
import statistics
import tempfile
from collections import Counter
from pathlib import Path

from deploy.local.lifted_limits import LIFTED
from tests.bench.load import closed_loop
from tests.bench.load.open_loop import OpenLoop, Outcome
from tests.bench.sides import Side, mesh, provider

PER_SECOND = 200
PROVIDER_SECONDS = 0.2
IN_FLIGHT = 8
AS_SHIPPED = {name: value for name, value in LIFTED.items() if "LOGINS" not in name}


async def main(rounds: int, seconds: float) -> None:
    async with provider(PROVIDER_SECONDS) as (url, _):
        everywhere = {"per_ip_login_rate": 1_000_000, "per_ip_login_burst": 1_000_000}
        for name, environment, gateway in (("from one address", AS_SHIPPED, {}), ("from everywhere", LIFTED, everywhere)):
            with tempfile.TemporaryDirectory(prefix="agentmesh-bench-") as folder:
                async with mesh(Path(folder), url, environment, **gateway) as side:
                    await flood(name, side, rounds, seconds)


async def flood(name: str, side: Side, rounds: int, seconds: float) -> None:
    """Print the p50 of agent calls with and without the flood, and the outcomes of the attempts."""
    names = itertools.count()

    def attempt() -> bytes:
        body = json.dumps({"username": f"guess-{next(names)}", "password": "correct horse battery"}).encode()
        return closed_loop.post("/api/v1/auth/login", body, f"localhost:{side.port}")

    await closed_loop.run("127.0.0.1", side.port, side.request, IN_FLIGHT, seconds)
    quiet, flooded, outcomes = [], [], Counter[int]()
    for _ in range(rounds):
        quiet.append(await p50_ms(side, seconds))
        generator = OpenLoop(side.port, attempt)
        flooding = asyncio.create_task(generator.run(PER_SECOND, seconds, patience=10))
        flooded.append(await p50_ms(side, seconds))
        outcomes += counted(await flooding)
        generator.close()
    ratios = [loud / still for loud, still in zip(flooded, quiet, strict=True)]
    print(f"{name}: p50 {statistics.median(quiet):.0f} ms quiet, {statistics.median(flooded):.0f} ms flooded")
    print(f"  {statistics.median(ratios) - 1:+.0%} (rounds: {', '.join(f'{ratio - 1:+.0%}' for ratio in ratios)})")
    print(f"  attempts by status: {dict(outcomes)}")


async def p50_ms(side: Side, seconds: float) -> float:
    """The p50 of agent calls in one slice, in milliseconds."""
    return statistics.median((await closed_loop.run("127.0.0.1", side.port, side.request, IN_FLIGHT, seconds)).latencies) * 1000


def counted(outcome: Outcome) -> Counter[int]:
    """The number of attempts by response status."""
    return Counter({status: len(times) for status, times in outcome.answers.items()})
