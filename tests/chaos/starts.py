"""Clients that start runs of a six-step graph, and a provider that sometimes refuses one of its steps."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.stack import Stack
from tests.chaos.calls import new_request_id
from tests.chaos.run_books import Start
from tests.chaos.runs import Runs, task

FLAKY = "with a flaky provider"
BAD_SECONDS, GOOD_SECONDS = 1.5, 3.0
AGAIN = {"SERVICE_UNAVAILABLE", "UPSTREAM_TIMEOUT"}
"""Statuses that are retried, like every unknown outcome: every request has an idempotency key."""
LONGEST_PAUSE_SECONDS = 1.0


def six_steps(retry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A graph with parallel branches; one of them is flaky."""
    flaky = task("flaky", "plan")
    flaky["input"] += f" {FLAKY}"
    tasks = [task("plan"), task("market", "plan"), task("prices", "plan"), flaky, task("draft", "market", "prices")]
    tasks.append(task("check", "draft", "flaky", input="Check this: {{tasks.draft.result}} and this: {{tasks.flaky.result}}"))
    return [{**one, "retry": dict(retry)} for one in tasks]


class RunStarter:
    """Starts runs, and records the requests."""

    def __init__(self, runs: Runs, retry: Mapping[str, Any]) -> None:
        self.starts: list[Start] = []
        self._runs = runs
        self._retry = retry

    async def start_runs(self, number: int, seconds: float) -> None:
        """Start `count` runs evenly over `seconds`, without waiting for earlier ones."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(number):
                tasks.create_task(self.start_run())
                await asyncio.sleep(seconds / number)

    async def start_run(self) -> None:
        """Request one run until the request is answered."""
        start = Start(f"run-{uuid4().hex}")
        self.starts.append(start)
        made = await self._insist("/api/v1/workflows", {"name": "chaos", "tasks": six_steps(self._retry)}, start.key, [])
        start.workflow_id = made["workflow"]["workflow_id"]
        begun = await self._insist(f"/api/v1/workflows/{start.workflow_id}/execute", {}, start.key, start.request_ids)
        start.run_id = begun["run"]["run_id"]

    async def _insist(self, path: str, body: Mapping[str, Any], key: str, request_ids: list[str]) -> dict[str, Any]:
        pause = 0.1
        while True:
            request_ids.append(new_request_id())
            headers = {"idempotency-key": key, "x-request-id": request_ids[-1]}
            try:
                response = await self._runs.http.post(path, json=body, headers=headers)
            except httpx.TransportError:
                response = None
            if response is not None:
                answer: dict[str, Any] = response.json()
                if response.status_code == 200:
                    return answer
                error = answer["error"]
                assert error["code"] in AGAIN or error["details"].get("outcome") == "unknown", answer
            await asyncio.sleep(random.uniform(0.5, 1) * pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


@asynccontextmanager
async def unreliable_provider(stack: Stack) -> AsyncIterator[None]:
    """While active, refuse the flaky step's requests for a while, as overloaded or as failed, then serve them again, in turn."""
    async with httpx.AsyncClient(base_url=stack.simulator_url, trust_env=False) as simulator:
        phases = asyncio.create_task(_failure_phases(simulator))
        try:
            yield
        finally:
            phases.cancel()
            await asyncio.wait([phases])
            (await simulator.delete("/control/faults")).raise_for_status()


async def _failure_phases(simulator: httpx.AsyncClient) -> None:
    for fault in cycle(("529", "500")):
        (await simulator.post("/control/faults", json={"fault": fault, "match": {"input_contains": FLAKY}})).raise_for_status()
        await asyncio.sleep(BAD_SECONDS)
        (await simulator.delete("/control/faults")).raise_for_status()
        await asyncio.sleep(GOOD_SECONDS)
