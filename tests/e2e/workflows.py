"""Workflows over REST, as a user creates and follows them."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.support.waiting import eventually

FINAL = ("RUN_STATUS_COMPLETED", "RUN_STATUS_FAILED", "RUN_STATUS_CANCELLED")
AT_ONCE = {"delay_seconds": 0}


def task(task_id: str, text: str = "", **fields: Any) -> dict[str, Any]:
    """A task; its input is a unique question unless the test sets one."""
    return {"id": task_id, "agent_id": AGENT, "input": text or question(), **fields}


@dataclass(frozen=True)
class Workflows:
    """A user's workflows. Every call must succeed, except with `try_`, which returns any response."""

    platform: Platform

    async def try_(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Any call below /api/v1."""
        return await self.platform.http.request(method, f"/api/v1/{path}", json=body, **options)

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """The same, for a call that must succeed."""
        response = await self.try_(method, path, body, **options)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def create(self, *tasks: dict[str, Any], name: str = "Launch", **options: Any) -> dict[str, Any]:
        return dict((await self.ask("POST", "workflows", {"name": name, "tasks": tasks}, **options))["workflow"])

    async def get(self, workflow_id: str) -> dict[str, Any]:
        """The current state of a workflow."""
        return dict((await self.ask("GET", f"workflows/{workflow_id}"))["workflow"])

    async def execute(self, workflow_id: str, **options: Any) -> dict[str, Any]:
        """A run that has just been started."""
        return dict((await self.ask("POST", f"workflows/{workflow_id}/execute", {}, **options))["run"])

    async def cancel(self, workflow_id: str) -> dict[str, Any]:
        """The run that is being cancelled."""
        return dict((await self.ask("POST", f"workflows/{workflow_id}/cancel", {}))["run"])

    async def decide(self, run_id: str, step_id: str, decision: str, reason: str = "") -> dict[str, Any]:
        """The run after a decision on one of its steps."""
        body = {"decision": f"APPROVAL_DECISION_{decision}", "reason": reason}
        return dict((await self.ask("POST", f"runs/{run_id}/steps/{step_id}/decide", body))["run"])

    async def run(self, run_id: str) -> dict[str, Any]:
        """The current state of a run."""
        return dict((await self.ask("GET", f"runs/{run_id}"))["run"])

    async def reached(self, run_id: str, *statuses: str) -> dict[str, Any]:
        """The run, once it is in one of these states."""

        async def there() -> dict[str, Any] | None:
            run = await self.run(run_id)
            return run if run["status"] in statuses else None

        run = await eventually(there)
        assert run is not None
        return run

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The run, once it is final."""
        return await self.reached(run_id, *FINAL)

    async def completed(self, *tasks: dict[str, Any]) -> dict[str, Any]:
        """A completed run of a new workflow with these tasks."""
        run = await self.ended((await self.execute((await self.create(*tasks))["workflow_id"]))["run_id"])
        assert run["status"] == "RUN_STATUS_COMPLETED", run
        return run


def steps_of(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The steps of a run by their ids, in the order of the tasks."""
    return {step["task_id"]: step for step in run["steps"]}
