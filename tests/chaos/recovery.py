"""Waiting until a stack has recovered from a fault and has nothing open; and the pace of its provider."""

import asyncpg
import httpx

from deploy.local.stack import Stack
from deploy.local.supervision.waiting import holds_within
from tests.chaos.clients import AGENT
from tests.support.credentials import bearer


async def well(stack: Stack, seconds: float = 30) -> None:
    """Wait until the platform accepts calls and can reach the agent of these tests."""

    async def serving() -> bool:
        return await serves(stack)

    assert await holds_within(seconds, serving), f"the platform accepted no calls within {seconds:g} s"


async def serves(stack: Stack) -> bool:
    """Whether it does now, as the gateway reports."""
    if not stack.credentials.token_file.exists():  # the first start is still in progress
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
    """Wait until the provider answers no request and no execution is `running`."""

    async def idle() -> bool:
        return await answering(stack) == 0 and await running(stack) == 0

    assert await holds_within(seconds, idle), f"{await running(stack)} executions were still running after {seconds:g} s"


async def provider_busy(stack: Stack, requests: int, seconds: float = 10) -> None:
    """Wait until the provider answers this many requests at once."""

    async def busy() -> bool:
        return await answering(stack) == requests

    assert await holds_within(seconds, busy), f"the provider answers {await answering(stack)} requests instead of {requests}"


async def answering(stack: Stack) -> int:
    """How many requests the provider is answering now."""
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
    """Make the provider wait before every answer, and between the pieces of a stream."""
    async with httpx.AsyncClient(base_url=stack.simulator_url, trust_env=False) as simulator:
        answer = await simulator.post("/control/defaults", json={"delay_ms": delay_ms, "trickle_ms": trickle_ms})
        answer.raise_for_status()
