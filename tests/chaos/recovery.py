"""Waiting until a stack that was hurt is well again and has nothing open; and how slowly its provider answers."""

import asyncpg
import httpx

from deploy.local.stack import Stack
from deploy.local.supervision.waiting import holds_within
from tests.chaos.doors import AGENT
from tests.support.credentials import bearer


async def well(stack: Stack, seconds: float = 30) -> None:
    """Waits until the platform takes calls, and the agent of these tests is one that it can call."""

    async def serving() -> bool:
        return await serves(stack)

    assert await holds_within(seconds, serving), f"the platform took no calls after {seconds:g} s"


async def serves(stack: Stack) -> bool:
    """Whether it does now, asked at the gateway."""
    if not stack.credentials.token_file.exists():  # the first start is still under way
        return False
    headers = bearer(stack.credentials.token)
    async with httpx.AsyncClient(base_url=stack.gateway_url, headers=headers, trust_env=False, timeout=2) as gateway:
        try:
            ready = await gateway.get("/ready")
            health = await gateway.get(f"/api/v1/agents/{AGENT}/health")
        except httpx.TransportError:
            return False
    return ready.status_code == health.status_code == 200 and health.json()["health"]["status"] == "AGENT_HEALTH_STATUS_SERVING"


async def settled(stack: Stack, seconds: float = 30) -> None:
    """Waits until the provider answers nobody any more and no execution is left `running`."""

    async def idle() -> bool:
        return await answering(stack) == 0 and await running(stack) == 0

    assert await holds_within(seconds, idle), f"{await running(stack)} executions were still running after {seconds:g} s"


async def provider_busy(stack: Stack, requests: int, seconds: float = 10) -> None:
    """Waits until the provider works on so many answers at once."""

    async def busy() -> bool:
        return await answering(stack) == requests

    assert await holds_within(seconds, busy), f"the provider works on {await answering(stack)} answers, not on {requests}"


async def answering(stack: Stack) -> int:
    """How many answers the provider works on now."""
    async with httpx.AsyncClient(base_url=stack.simulator_url, trust_env=False) as simulator:
        return int((await simulator.get("/control/active")).json()["active"])


async def running(stack: Stack) -> int:
    """How many executions are open now."""
    connection = await asyncpg.connect(stack.database_url.replace("postgresql+asyncpg://", "postgresql://"))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM executions WHERE status = 'running'"))
    finally:
        await connection.close()


async def set_pace(stack: Stack, *, delay_ms: int = 0, trickle_ms: int = 0) -> None:
    """Makes the provider wait before every answer, and between the pieces of a stream."""
    async with httpx.AsyncClient(base_url=stack.simulator_url, trust_env=False) as simulator:
        answer = await simulator.post("/control/defaults", json={"delay_ms": delay_ms, "trickle_ms": trickle_ms})
        answer.raise_for_status()
