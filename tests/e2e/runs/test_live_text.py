"""The text of a background execution while it grows: across reconnects, in a second tab, and when processes die."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx
from agentmesh.workflow.v1 import workflow_service_pb2 as workflow
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from tests.contract.gateway.wire import events_of
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import SECONDS
from tests.e2e.workflows import Workflows

TRICKLE_MS = 150
RECONNECT_SECONDS = 0.2


@dataclass
class Tab:
    """A reader that resumes where it was, like a tab of the console."""

    platform: Platform
    run_id: str
    sequence: int = 0
    execution_id: str = ""
    offset: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    attempts: list[int] = field(default_factory=list)
    result: str = ""
    done: bool = False

    async def read(self, pieces: int = 10_000) -> None:
        """Read until the run is done or so many pieces have arrived, then drop the connection; returns early if the platform drops it."""
        with contextlib.suppress(httpx.TransportError):
            async with contextlib.aclosing(self._events()) as events:
                async for event in events:
                    pieces -= self._take(event)
                    if self.done or pieces == 0:
                        return

    async def read_to_the_end(self) -> None:
        """Read until the run is done, and reconnect when the connection breaks."""
        async with asyncio.timeout(2 * SECONDS):
            while not self.done:
                await self.read()
                await asyncio.sleep(RECONNECT_SECONDS)  # as a browser does

    async def _events(self) -> AsyncGenerator[dict[str, Any], None]:
        position: dict[str, Any] = {"after_sequence": self.sequence}
        if self.execution_id:
            position |= {"live_execution_id": self.execution_id, "live_offset": self.offset}
        async with self.platform.http.stream("GET", f"/api/v1/runs/{self.run_id}/watch", params=position) as response:
            if response.status_code != 200:  # the orchestrator is restarting
                return
            async for line in response.aiter_lines():
                for event in events_of(line):
                    yield event

    def _take(self, event: dict[str, Any]) -> bool:
        """Keeps an event; returns whether it is a piece of text."""
        self.sequence = event["sequence"]
        self.done = "done" in event
        if "step" in event:
            self.result = event["step"]["step"]["result"]
        if "live" not in event:
            return False
        live, text = event["live"], event["live"]["text"]
        if live["execution_id"] not in self.texts:
            self.texts[live["execution_id"]] = ""
            self.attempts.append(live["attempt"])
        assert text["offset"] == len(self.texts[live["execution_id"]]), "a gap or a repetition"
        self.texts[live["execution_id"]] += text["text"]
        self.execution_id, self.offset = live["execution_id"], text["next_offset"]
        return bool(text["text"])


async def _started(platform: Platform, workflows: Workflows, trickle_ms: int = TRICKLE_MS) -> str:
    """A background execution whose answer comes slowly."""
    text = question()
    await platform.provider.fault("trickle", text, argument=trickle_ms)
    return str((await workflows.ask("POST", f"agents/{AGENT}/start", {"input": text}))["run"]["run_id"])


async def test_the_text_of_a_background_execution_survives_the_death_of_the_orchestrator(platform: Platform, workflows: Workflows) -> None:
    run_id = await _started(platform, workflows, trickle_ms=1_000)  # longer than the restart takes
    first, second = Tab(platform, run_id), Tab(platform, run_id)
    await first.read(pieces=2)
    assert first.result == ""
    await second.read(pieces=1)
    await first.read(pieces=1)
    reading = asyncio.create_task(second.read_to_the_end())
    platform.stack.process("orchestrator").kill()
    await platform.recovered()
    third = Tab(platform, run_id)
    await asyncio.gather(reading, first.read_to_the_end(), third.read_to_the_end())
    for tab in (first, second, third):
        (text,) = tab.texts.values()
        assert text
        assert tab.result.startswith(text)
    assert first.result == second.result == third.result
    assert (await platform.execution(first.execution_id))["result"] == first.result


async def test_the_text_begins_anew_when_a_worker_is_killed(platform: Platform, workflows: Workflows) -> None:
    run_id = await _started(platform, workflows)
    tab = Tab(platform, run_id)
    await tab.read(pieces=2)
    platform.stack.process("worker").kill()
    await tab.read_to_the_end()
    lost, answered = tab.texts
    assert tab.attempts[1] > tab.attempts[0]
    assert (await platform.execution(lost))["status"] == "EXECUTION_STATUS_OUTCOME_UNKNOWN"
    assert (await platform.execution(answered))["result"] == tab.result
    assert tab.result.startswith(tab.texts[answered])
    assert tab.texts[answered]


async def test_steps_of_workflows_have_no_live_text(platform: Platform, workflows: Workflows) -> None:
    text = question()
    await platform.provider.fault("trickle", text, argument=TRICKLE_MS)
    made = await workflows.create({"id": "a", "agent_id": AGENT, "input": text})
    run = await workflows.execute(made["workflow_id"])
    watch = WorkflowServiceStub(platform.gateway).WatchRun(workflow.WatchRunRequest(run_id=run["run_id"]), timeout=SECONDS)
    assert {event.WhichOneof("event") async for event in watch} == {"run", "step", "done"}


async def test_a_background_execution_that_the_model_refuses_completes_as_in_a_direct_call(
    platform: Platform, workflows: Workflows
) -> None:
    """Although its answer is streamed."""
    text = question()
    await platform.provider.fault("refusal", text)
    body = {"input": text}
    direct = await platform.execute(text)
    run_id = (await workflows.ask("POST", f"agents/{AGENT}/start", body))["run"]["run_id"]
    run = await workflows.ended(run_id)
    assert (run["status"], run["steps"][0]["facts"]["stop_reason"]) == ("RUN_STATUS_COMPLETED", "STOP_REASON_REFUSAL")
    assert run["steps"][0]["result"] == direct.json()["result"]
