"""`python -m tests.bench workflows`: durable three-step runs through the real platform, with agents that answer at once.

A run's time is from the sending of ExecuteWorkflow to the end recorded in the database; both clocks are this machine's. The load
generator runs on the same machine, so the CPU that it takes is missing from the figures.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import psutil
from agentmesh.workflow.v1 import workflow_pb2
from agentmesh.workflow.v1 import workflow_service_pb2 as pb
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub
from redis.asyncio import Redis

from deploy.local.lifted_limits import LIFTED
from deploy.local.programs import Provider
from deploy.local.stack import Stack
from orchestrator.adapters.wakeups.arq_wakeup import QUEUE
from tests.bench.cpu import cpu_seconds
from tests.bench.sides import AGENT, provider
from tests.support.credentials import authorized
from tests.support.ports import free_port_offset

PROCESSES = ("orchestrator", "worker", "agents-0", "postgres", "redis")
CALLERS = 32
IN_FLIGHT = 64
POLL_SECONDS = 0.005
FINAL = "('completed', 'failed', 'cancelled')"
TASKS = (
    workflow_pb2.Task(id="research", agent_id=AGENT, input="What do shops like ours get wrong on category pages?"),
    workflow_pb2.Task(id="write", agent_id=AGENT, input="Write a page that does better: {{tasks.research.result}}"),
    workflow_pb2.Task(id="check", agent_id=AGENT, input="What is still wrong with this? {{tasks.write.result}}"),
)


class Ends:
    """Reports the ends of runs with one query every few milliseconds, regardless of the number of waiting callers."""

    def __init__(self, database: asyncpg.Connection) -> None:
        self._database = database
        self._waiting: dict[str, asyncio.Future[float]] = {}

    async def of(self, run_id: str) -> float:
        """The time at which the run completed, in seconds since the epoch. RuntimeError if it did not complete."""
        ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[run_id] = ended
        return await ended

    async def look_forever(self) -> None:
        statement = f"SELECT run_id, status, finished_at FROM runs WHERE run_id = ANY($1::uuid[]) AND status IN {FINAL}"
        while True:
            await asyncio.sleep(POLL_SECONDS)
            for row in await self._database.fetch(statement, list(self._waiting)) if self._waiting else ():
                ended = self._waiting.pop(str(row["run_id"]))
                if row["status"] == "completed":
                    ended.set_result(row["finished_at"].timestamp())
                else:
                    ended.set_exception(RuntimeError(f"run {row['run_id']} is {row['status']}"))


@dataclass(frozen=True, slots=True)
class Platform:
    """The running stack, its workflow service and its database."""

    stack: Stack
    stub: Any
    database: asyncpg.Connection
    ends: Ends

    async def create(self, number: int) -> str:
        made = await self.stub.CreateWorkflow(pb.CreateWorkflowRequest(name=f"bench {number}", tasks=TASKS))
        return str(made.workflow.workflow_id)

    async def execute(self, workflow_id: str) -> str:
        return str((await self.stub.ExecuteWorkflow(pb.ExecuteWorkflowRequest(workflow_id=workflow_id))).run.run_id)

    async def seconds_of_a_run(self, workflow_id: str) -> float:
        """Start a run and return how long it took, once it has ended."""
        began = time.time()
        return await self.ends.of(await self.execute(workflow_id)) - began

    def pids(self) -> dict[str, int]:
        """The processes whose CPU time is counted."""
        return {name: self.stack.process(name).pid for name in PROCESSES}


@asynccontextmanager
async def platform(folder: Path, provider_url: str) -> AsyncIterator[Platform]:
    """The whole local stack with the provider that answers at once."""
    real = Provider(name="anthropic", api_key="bench", base_url=provider_url)
    with free_port_offset() as offset:
        async with (
            Stack(folder, offset, environment=LIFTED, provider=real) as stack,
            grpc.aio.insecure_channel(stack.orchestrator_target) as channel,
        ):
            database = await asyncpg.connect(stack.database_url.replace("+asyncpg", ""))
            ends = Ends(database)
            looking = asyncio.create_task(ends.look_forever())
            try:
                yield Platform(stack, WorkflowServiceStub(authorized(channel, stack.credentials.token)), database, ends)
            finally:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
                await database.close()


async def one_caller(bench: Platform, seconds: float) -> None:
    """Run one workflow after the other."""
    workflow_id = await bench.create(0)
    for _ in range(20):
        await bench.seconds_of_a_run(workflow_id)
    took, ends = [], time.monotonic() + seconds
    while time.monotonic() < ends:
        took.append(await bench.seconds_of_a_run(workflow_id))
    print(f"one caller: {len(took)} runs, {_times(took)}")


async def sustained(bench: Platform, seconds: float) -> None:
    """Run many callers, each with its own workflow, repeatedly."""
    ids = await asyncio.gather(*(bench.create(number) for number in range(CALLERS)))
    took: list[float] = []

    async def call(workflow_id: str, ends: float) -> None:
        while time.monotonic() < ends:
            took.append(await bench.seconds_of_a_run(workflow_id))

    await asyncio.gather(*(call(one, time.monotonic() + 2) for one in ids))
    took.clear()
    before, own, began = cpu_seconds(bench.pids()), time.process_time(), time.monotonic()
    await asyncio.gather(*(call(one, began + seconds) for one in ids))
    spent = time.monotonic() - began
    after = cpu_seconds(bench.pids())
    cpu = {**{name: after[name] - before[name] for name in before}, "load generator": time.process_time() - own}
    print(f"{CALLERS} callers: {len(took) / spent:.0f} runs/s, {_times(took)}")
    print(f"  CPU ms per run: {', '.join(f'{name} {used / len(took) * 1000:.2f}' for name, used in cpu.items())}")


async def drain(bench: Platform, runs: int) -> None:
    """Queue runs while the worker is stopped, then let it complete them."""
    await bench.stack.process("worker").stop()
    began = time.monotonic()
    numbers = iter(range(runs))

    async def queue() -> None:
        for number in numbers:
            await bench.execute(await bench.create(number))

    await asyncio.gather(*(queue() for _ in range(IN_FLIGHT)))
    print(f"{runs} runs queued in {time.monotonic() - began:.0f} s (each with a workflow of its own)")
    await bench.stack.process("worker").start()
    redis = Redis.from_url(bench.stack.redis_url)
    try:
        await _follow(bench, redis, runs)
    finally:
        await redis.aclose()


async def _follow(bench: Platform, redis: Redis, runs: int) -> None:
    began, left, samples = time.monotonic(), runs, []
    worker = psutil.Process(bench.stack.process("worker").pid)
    while left:
        await asyncio.sleep(1)
        left = await bench.database.fetchval(f"SELECT count(*) FROM runs WHERE status NOT IN {FINAL}")
        ready = await bench.database.fetchval("SELECT count(*) FROM steps WHERE status = 'ready'")
        samples.append((time.monotonic() - began, left, ready, int(await redis.zcard(QUEUE)), worker.memory_info().rss / 2**20))
    print(f"{'s':>7}{'runs left':>11}{'ready steps':>13}{'arq queue':>11}{'worker MiB':>12}")
    for second, runs_left, ready, queued, rss in _thinned(samples):
        print(f"{second:>7.0f}{runs_left:>11}{ready:>13}{queued:>11}{rss:>12.1f}")
    failed = await bench.database.fetchval("SELECT count(*) FROM runs WHERE status IN ('failed', 'cancelled')")
    rate = runs / samples[-1][0]
    print(f"drained at {rate:.0f} runs/s; longest arq queue {max(sample[3] for sample in samples)}; {failed} runs failed")


def _thinned(samples: Sequence[Any], rows: int = 12) -> Sequence[Any]:
    step = max(1, len(samples) // rows)
    return [*samples[:-1:step], samples[-1]]


def _times(took: Sequence[float]) -> str:
    ordered = sorted(took)
    quantiles = {f"p{q}": ordered[min(len(ordered) - 1, len(ordered) * q // 100)] for q in (50, 95, 99)}
    return f"mean {statistics.mean(took) * 1000:.1f} ms, " + ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in quantiles.items())


async def main(seconds: float, runs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="agentmesh-bench-") as folder:
        async with provider() as (url, _), platform(Path(folder), url) as bench:
            await one_caller(bench, seconds)
            await sustained(bench, seconds)
            if runs:
                await drain(bench, runs)
