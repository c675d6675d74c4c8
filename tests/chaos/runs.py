"""Workflows of a stack under fault injection, and what its database records about them."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
from uuid_utils.compat import uuid7

from deploy.local.stack import Stack
from deploy.local.supervision.waiting import holds_within
from tests.chaos.clients import AGENT
from tests.support.credentials import bearer

FINAL = ("completed", "failed", "cancelled")
DELAY_SECONDS = 0.2


def task(task_id: str, *after: str, **fields: Any) -> dict[str, Any]:
    """A task with a unique input, which is retried soon."""
    retry = {"max_attempts": 4, "delay_seconds": DELAY_SECONDS}
    return {"id": task_id, "agent_id": AGENT, "input": f"Plan {uuid7()}", "depends_on": after, "retry": retry, **fields}


@dataclass
class Runs:
    """A user's workflows, and their rows in the database."""

    stack: Stack
    http: httpx.AsyncClient
    started: list[str] = field(default_factory=list)

    async def create(self, *tasks: dict[str, Any]) -> str:
        response = await self.http.post("/api/v1/workflows", json={"name": "chaos", "tasks": tasks})
        assert response.status_code == 200, response.text
        return str(response.json()["workflow"]["workflow_id"])

    async def execute(self, workflow_id: str) -> httpx.Response:
        """Request a run."""
        return await self.http.post(f"/api/v1/workflows/{workflow_id}/execute", json={})

    async def start(self, *tasks: dict[str, Any]) -> str:
        """A run of a new workflow."""
        response = await self.execute(await self.create(*tasks))
        assert response.status_code == 200, response.text
        self.started.append(response.json()["run"]["run_id"])
        return self.started[-1]

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of the database."""
        connection = await asyncpg.connect(self.stack.database_url.replace("+asyncpg", ""), timeout=2)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def status(self, run_id: str) -> str:
        """The state of the run."""
        return str((await self.rows("SELECT status FROM runs WHERE run_id = $1", run_id))[0]["status"])

    async def ended(self, run_id: str, within: float = 30) -> str:
        """The final state of the run."""

        async def final() -> bool:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError):  # PostgreSQL may be down
                return await self.status(run_id) in FINAL
            return False

        assert await holds_within(within, final), f"run {run_id} is {await self.status(run_id)} after {within:g} s"
        return await self.status(run_id)

    async def running(self, run_id: str, task_id: str, within: float = 15) -> None:
        """Wait until the provider works on the step."""

        async def asked() -> bool:
            query = "SELECT FROM executions WHERE run_id = $1 AND task_id = $2 AND status = 'running'"
            return bool(await self.rows(query, run_id, task_id))

        assert await holds_within(within, asked), f"step {task_id} did not begin"

    async def completions(self, run_id: str) -> Counter[str]:
        """How often each step was completed."""
        rows = await self.rows("SELECT payload FROM run_events WHERE run_id = $1 AND kind = 'step'", run_id)
        changes = [json.loads(row["payload"]) for row in rows]
        return Counter(change["task_id"] for change in changes if change["state"] == "completed")

    async def executions(self, run_id: str, task_id: str) -> list[str]:
        """The final states of the step's calls, in order."""
        query = "SELECT status FROM executions WHERE run_id = $1 AND task_id = $2 ORDER BY execution_id"
        return [row["status"] for row in await self.rows(query, run_id, task_id)]

    async def sequences(self, run_id: str) -> list[int]:
        """The sequences of the run's changes."""
        query = "SELECT sequence FROM run_events WHERE run_id = $1 ORDER BY sequence"
        return [row["sequence"] for row in await self.rows(query, run_id)]

    async def assert_consistent(self, run_id: str) -> None:
        """Assert that the changes have every sequence once, and that each completed step completed once."""
        sequences = await self.sequences(run_id)
        assert sequences == list(range(1, len(sequences) + 1))
        assert set((await self.completions(run_id)).values()) <= {1}


@asynccontextmanager
async def runs_of(stack: Stack) -> AsyncIterator[Runs]:
    """The workflows of the stack's first administrator."""
    options: dict[str, Any] = {"timeout": 20, "trust_env": False}
    async with httpx.AsyncClient(base_url=stack.gateway_url, headers=bearer(stack.credentials.token), **options) as http:
        yield Runs(stack, http)
