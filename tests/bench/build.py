"""Runs the stack of one build for `compare.py`, on that build's own code and virtual environment.

The older build of a comparison does not have this file, and its modules may lie elsewhere. So `compare.py` starts this file by its path
with the build's interpreter, and it may only import what both builds have. It answers on standard output with one JSON document per
line, and stops the stack when standard input ends.
"""

import asyncio
import base64
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import sides, workflows

CALLERS = 32
WARM_UP_RUNS = 20


def write_document(**document: Any) -> None:
    print(json.dumps(document), flush=True)


async def lines() -> asyncio.StreamReader:
    """What the comparison writes to standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def calls(folder: Path, provider_url: str, orders: asyncio.StreamReader) -> None:
    """Serve agent calls, which the comparison sends."""
    async with sides.mesh(folder, provider_url) as side:
        write_document(port=side.port, request=base64.b64encode(side.request).decode(), pids=dict(side.pids))
        await orders.read()


async def runs(folder: Path, provider_url: str, orders: asyncio.StreamReader) -> None:
    """Serve durable runs, and start as many at once as the comparison requests."""
    async with workflows.platform(folder, provider_url) as platform:
        ids = await asyncio.gather(*(platform.create(number) for number in range(CALLERS)))
        for _ in range(WARM_UP_RUNS):
            await asyncio.gather(*map(platform.seconds_of_a_run, ids))
        write_document(pids=platform.pids())
        while order := await orders.readline():
            wanted = json.loads(order)
            took: list[float] = []
            began = time.monotonic()
            await asyncio.gather(*(_repeat(platform, one, began + wanted["seconds"], took) for one in ids[: wanted["in_flight"]]))
            write_document(rate=len(took) / (time.monotonic() - began), p50=statistics.median(took), count=len(took))


async def _repeat(platform: workflows.Platform, workflow_id: str, ends: float, took: list[float]) -> None:
    while time.monotonic() < ends:
        took.append(await platform.seconds_of_a_run(workflow_id))


async def main(benchmark: str, provider_url: str) -> None:
    """Run the stack until standard input ends."""
    with tempfile.TemporaryDirectory(prefix="agentmesh-bench-") as folder:
        await {"calls": calls, "workflows": runs}[benchmark](Path(folder), provider_url, await lines())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
