"""`python -m tests.bench ready`: 530 requests a second to /ready, and what agent calls notice of it.

Slices with and without the flood are taken in turn. The checks behind /ready run once a second, so the flood should cost what 530 other
small calls cost, and leave agent calls at most a fifth slower.
"""

import asyncio
import statistics
import tempfile
from pathlib import Path

from tests.bench.load import closed_loop
from tests.bench.load.open_loop import OpenLoop
from tests.bench.sides import Side, mesh, provider

PER_SECOND = 530
IN_FLIGHT = 8


async def main(rounds: int, seconds: float) -> None:
    async with provider(0.05) as (url, _):
        with tempfile.TemporaryDirectory(prefix="agentmesh-bench-") as folder:
            async with mesh(Path(folder), url) as side:
                await _flood(side, rounds, seconds)


async def _flood(side: Side, rounds: int, seconds: float) -> None:
    ask = f"GET /ready HTTP/1.1\r\nhost: localhost:{side.port}\r\n\r\n".encode()
    await closed_loop.run("127.0.0.1", side.port, side.request, IN_FLIGHT, seconds)
    quiet, flooded, answered = [], [], 0
    for _ in range(rounds):
        quiet.append(await _rate(side, seconds))
        generator = OpenLoop(side.port, lambda: ask)
        flooding = asyncio.create_task(generator.run(PER_SECOND, seconds, patience=10))
        flooded.append(await _rate(side, seconds))
        answered += len((await flooding).answers.get(200, ()))
        generator.close()
    ratios = [loud / still for loud, still in zip(flooded, quiet, strict=True)]
    print(f"{statistics.median(quiet):.0f} calls/s alone, {statistics.median(flooded):.0f} beside {PER_SECOND} requests/s to /ready")
    print(f"ratio {statistics.median(ratios):.2f} (rounds: {', '.join(f'{one:.2f}' for one in ratios)}); {answered} answers of 200")


async def _rate(side: Side, seconds: float) -> float:
    return (await closed_loop.run("127.0.0.1", side.port, side.request, IN_FLIGHT, seconds)).per_second
