"""An orchestrator that cannot start the calls that arrive: a lock in the database makes every one wait."""

import asyncio
import contextlib
from typing import Any

import grpc
from agentmesh.health.v1 import health_service_pb2 as health

from mesh.limits.admission import MOST
from tests.rpc.orchestrator.running import Mesh, documented_error
from tests.support.waiting import eventually

TOO_MANY, ENOUGH = 1_500, 1_200
PATIENT, SLOW_MILLISECONDS = 150, 3_000
OVERLOADED = {"component": "orchestrator", "cause": "overloaded"}


async def test_calls_that_wait_for_a_slow_provider_are_not_limited(mesh: Mesh) -> None:
    slow = mesh.call()
    await slow.fault("delay", SLOW_MILLISECONDS)

    async def ask_twice(place: int) -> None:
        await asyncio.sleep(place * SLOW_MILLISECONDS / 1000 / PATIENT)  # not all at once: that would be a queue for this machine's CPU
        for _ in range(2):
            assert (await slow.execute(timeout=60)).result

    await asyncio.gather(*(ask_twice(place) for place in range(PATIENT)))


async def test_excess_calls_are_refused_at_once_and_the_others_succeed(mesh: Mesh) -> None:
    async with mesh.db.transaction():
        await mesh.db.execute("LOCK TABLE executions IN ACCESS EXCLUSIVE MODE")
        calls = [asyncio.ensure_future(mesh.call().execute(timeout=60)) for _ in range(MOST + TOO_MANY)]

        async def refused() -> bool:
            failed = [documented_error(call.exception()) for call in calls if call.done()]  # every one has a status of the mesh
            assert {error.reason for error in failed} <= {"SERVICE_UNAVAILABLE"}
            return sum(error.details == OVERLOADED for error in failed) >= ENOUGH

        await eventually(refused, within=30)
        await mesh.orchestrator.health.GetHealth(health.GetHealthRequest(), timeout=10)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def admitted() -> Any:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await mesh.call().execute()
        return None

    assert (await eventually(admitted, within=30)).result

    async def settled() -> bool:
        return bool(await mesh.db.fetchval("SELECT count(*) = 0 FROM executions WHERE status = 'running'"))

    await eventually(settled, within=60)
