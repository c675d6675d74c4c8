"""`python -m tests.bench fairness`: how long a user's run takes behind another user's queue, with a provider that takes a second.

The limits are lifted: the benchmark measures the order of the queue and the reserved slots, not the limits of the busy user.
"""

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from agentmesh.identity.v1 import identity_service_pb2 as identity
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from agentmesh.workflow.v1 import workflow_pb2
from agentmesh.workflow.v1 import workflow_service_pb2 as pb
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from tests.bench.sides import AGENT, provider
from tests.bench.workflows import Platform, platform
from tests.support.credentials import authorized

PROVIDER_SECONDS = 1.0
TASKS_OF_A_RUN = 100
PASSWORD = "a long enough password of the bench"
ONE = [workflow_pb2.Task(id="only", agent_id=AGENT, input="What do shops like ours get wrong on category pages?")]
MANY = [
    *(workflow_pb2.Task(id=f"t{number}", agent_id=AGENT, input="Write a headline.") for number in range(TASKS_OF_A_RUN - 1)),
    workflow_pb2.Task(id="last", agent_id=AGENT, input="Choose one.", depends_on=["t0"]),
]


async def main(steps: int, runs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="agentmesh-bench-") as folder:
        async with provider(PROVIDER_SECONDS) as (url, _), platform(Path(folder), url) as bench, other_user(bench) as other:
            workflow_id = await created(other, "one step", ONE)
            await timed(bench, other, workflow_id, 3)
            alone = await timed(bench, other, workflow_id, runs)
            await queue(bench, steps)
            waiting = await ready(bench)
            behind = await timed(bench, other, workflow_id, runs)
            left = await ready(bench)
    print(f"a one-step run of another user, alone: {_times(alone)}")
    print(f"behind {waiting} steps of one user (at the end {left}): {_times(behind)}")
    print(f"ratio of the medians: {statistics.median(behind) / statistics.median(alone):.2f}")


async def timed(bench: Platform, stub: Any, workflow_id: str, runs: int) -> list[float]:
    """The seconds that each of several consecutive runs takes."""
    took = []
    for _ in range(runs):
        began = asyncio.get_running_loop().time()
        run = (await stub.ExecuteWorkflow(pb.ExecuteWorkflowRequest(workflow_id=workflow_id))).run
        await bench.ends.of(run.run_id)
        took.append(asyncio.get_running_loop().time() - began)
    return took


async def queue(bench: Platform, steps: int) -> None:
    """Queue this many steps for the user of the benchmark."""

    async def one(number: int) -> None:
        await bench.execute(await created(bench.stub, f"busy {number}", MANY))

    await asyncio.gather(*map(one, range(steps // TASKS_OF_A_RUN + 1)))


async def ready(bench: Platform) -> int:
    """How many steps wait."""
    return int(await bench.database.fetchval("SELECT count(*) FROM steps WHERE status = 'ready'"))


async def created(stub: Any, name: str, tasks: Sequence[workflow_pb2.Task]) -> str:
    """The id of a new workflow."""
    return str((await stub.CreateWorkflow(pb.CreateWorkflowRequest(name=name, tasks=tasks))).workflow.workflow_id)


@asynccontextmanager
async def other_user(bench: Platform) -> AsyncIterator[Any]:
    """The workflow service as a second user."""
    async with grpc.aio.insecure_channel(bench.stack.orchestrator_target) as channel:
        auth: Any = AuthServiceStub(channel)
        await auth.Register(identity.RegisterRequest(username="other.user", password=PASSWORD))
        login = await auth.Login(identity.LoginRequest(username="other.user", password=PASSWORD))
        yield WorkflowServiceStub(authorized(channel, login.access_token))


def _times(took: Sequence[float]) -> str:
    return f"{len(took)} runs, p50 {statistics.median(took) * 1000:.0f} ms, max {max(took) * 1000:.0f} ms"
