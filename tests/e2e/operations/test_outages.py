"""Parts of the platform stop and return."""

import asyncio

import httpx
import pytest

from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT, TRIALS
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import stopped
from tests.support.waiting import eventually


async def test_without_redis_the_platform_is_degraded_and_works(platform: Platform) -> None:
    async def unavailable() -> list[str]:
        ready = await platform.http.get("/ready")
        assert ready.status_code == 200
        names = [one["name"] for one in ready.json()["components"] if not one["available"]]
        assert ready.json()["status"] == ("degraded" if names else "ready")
        return names

    async with stopped(platform, "redis"):
        assert await eventually(unavailable) == ["redis"]  # /ready is cached for a second
        assert (await platform.execute(question())).status_code == 200
    assert await unavailable() == []


async def test_without_its_host_an_agent_is_unavailable_and_still_listed(platform: Platform) -> None:
    async with stopped(platform, "agents-0"):
        health = (await platform.http.get(f"/api/v1/agents/{AGENT}/health")).json()["health"]
        assert (health["status"], health["latency_seconds"]) == ("AGENT_HEALTH_STATUS_UNREACHABLE", 0)

        async def not_ready() -> bool:
            return (await platform.http.get("/ready")).status_code != 200

        await eventually(not_ready)  # /ready is cached for a second
        error = error_of(await platform.http.get("/ready"), 503, "SERVICE_UNAVAILABLE")
        assert error["details"]["component"] == "agent_hosts"
        listed = (await platform.http.get("/api/v1/agents", params={"category": "trials"})).json()
        assert {agent["agent_id"] for agent in listed["agents"]} >= set(TRIALS)
        refused = await platform.execute(question())
        error_of(refused, 503, "AGENT_UNAVAILABLE")
        assert refused.elapsed.total_seconds() < 1  # a call to a stopped host must fail without waiting


async def test_without_the_database_no_caller_is_authenticated_and_nothing_is_bought(platform: Platform) -> None:
    text = question()

    async def search() -> httpx.Response:
        return await platform.http.get("/api/v1/agents", params={"search": "seo"})

    async def caller_is_unknown() -> bool:
        return (await search()).status_code != 200

    async with stopped(platform, "postgres"):
        await eventually(caller_is_unknown)  # an authenticated caller is remembered for a second
        error_of(await search(), 503, "SERVICE_UNAVAILABLE")
        assert (await platform.http.get("/health")).status_code == 200
        for _ in range(3):
            error_of(await platform.execute(text), 503, "SERVICE_UNAVAILABLE")
        error_of(await platform.http.post(f"/api/v1/agents/{AGENT}/stream", json={"input": text}), 503, "SERVICE_UNAVAILABLE")
    assert platform.provider.purchases(text) == []
    assert (await search()).json()["total"] > 0
    assert (await platform.execute(text)).status_code == 200


async def test_a_call_during_a_database_restart_is_answered_and_settled(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("delay", text, argument=1_500)
    call = asyncio.create_task(platform.execute(text))
    await platform.provider.asked(text)
    async with stopped(platform, "postgres"):
        pass
    response = await call
    assert response.status_code == 200, response.text
    execution = await platform.settled(response.json()["execution_id"])
    assert (execution["status"], execution["result"]) == ("EXECUTION_STATUS_COMPLETED", response.json()["result"])


@pytest.mark.parametrize("process", ["envoy", "orchestrator", "postgres", "redis"])
async def test_a_dead_process_is_restarted(platform: Platform, process: str) -> None:
    before = platform.stack.process(process).pid
    platform.stack.process(process).kill()

    async def another() -> bool:
        running = platform.stack.process(process).running
        return running and platform.stack.process(process).pid != before

    await eventually(another)
    await platform.recovered()
    assert (await platform.execute(question())).status_code == 200
