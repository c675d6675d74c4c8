"""Watching a run over Server-Sent Events and gRPC: live, in order, and resumed after an interruption."""

import asyncio
from typing import Any

import grpc
import pytest
from agentmesh.workflow.v1 import workflow_pb2
from agentmesh.workflow.v1 import workflow_service_pb2 as workflow
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.wire import error_of, events_of
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import SECONDS, failure
from tests.e2e.workflow_provocations import NOWHERE
from tests.e2e.workflows import Workflows, task
from tests.support.waiting import eventually


async def _watched(workflows: Workflows, run_id: str, after: int = 0) -> list[dict[str, Any]]:
    """Every event of a watch over REST."""
    response = await workflows.try_("GET", f"runs/{run_id}/watch", params={"after_sequence": after})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    return events_of(response.text)


def _subject_and_status(event: dict[str, Any]) -> tuple[str, str]:
    if "run" in event:
        return "run", event["run"]["run"]["status"]
    return event["step"]["step"]["task_id"], event["step"]["step"]["status"]


async def test_a_watch_delivers_each_change_and_ends_with_the_run(workflows: Workflows) -> None:
    made = await workflows.create(task("plan"), task("write", "{{tasks.plan.result}}"))
    run = await workflows.execute(made["workflow_id"])
    *changes, done = await _watched(workflows, run["run_id"])
    assert [event["sequence"] for event in changes] == list(range(1, len(changes) + 1))
    assert done == {"sequence": len(changes), "done": {"status": "RUN_STATUS_COMPLETED"}}
    states = [_subject_and_status(event) for event in changes]
    assert states[-1] == ("run", "RUN_STATUS_COMPLETED")
    for task_id in ("plan", "write"):
        statuses = [status for subject, status in states if subject == task_id]
        assert statuses[-3:] == ["STEP_STATUS_READY", "STEP_STATUS_RUNNING", "STEP_STATUS_COMPLETED"]
    answers = {event["step"]["step"]["task_id"]: event["step"]["step"]["result"] for event in changes if "step" in event}
    ended = await workflows.get(made["workflow_id"])
    assert answers == {one["task_id"]: one["result"] for one in ended["results"]}
    assert (await workflows.run(run["run_id"]))["sequence"] == len(changes)


async def test_a_watch_resumes_after_any_change(workflows: Workflows) -> None:
    run = await workflows.completed(task("a"), task("b", depends_on=[]), task("c", depends_on=["a", "b"]))
    everything = await _watched(workflows, run["run_id"])
    for after in range(run["sequence"]):
        assert await _watched(workflows, run["run_id"], after) == everything[after:]
    at_the_end = await workflows.try_("GET", f"runs/{run['run_id']}/watch", params={"after_sequence": run["sequence"]})
    assert (at_the_end.status_code, at_the_end.content) == (204, b"")


@pytest.mark.parametrize("channel", ["gateway", "orchestrator"])
async def test_changes_arrive_as_they_happen(platform: Platform, workflows: Workflows, channel: str) -> None:
    text = question()
    await platform.provider.fault("delay", text, argument=1_500)
    run_id = (await workflows.execute((await workflows.create(task("slow", text)))["workflow_id"]))["run_id"]
    stub = WorkflowServiceStub(getattr(platform, channel))
    watch = stub.WatchRun(workflow.WatchRunRequest(run_id=run_id), timeout=SECONDS)
    seen = []
    async for event in watch:
        seen.append(event)
        if event.step.step.status == workflow_pb2.STEP_STATUS_RUNNING:
            assert (await workflows.run(run_id))["status"] == "RUN_STATUS_RUNNING"
    assert seen[-1].done.status == workflow_pb2.RUN_STATUS_COMPLETED
    assert [event.sequence for event in seen[:-1]] == list(range(1, len(seen)))


async def test_many_clients_watch_one_run(platform: Platform, workflows: Workflows) -> None:
    text = question()
    await platform.provider.fault("delay", text, argument=500)
    run_id = (await workflows.execute((await workflows.create(task("a", text), task("b")))["workflow_id"]))["run_id"]
    first, *others = await asyncio.gather(*(_watched(workflows, run_id) for _ in range(30)))
    assert all(other == first for other in others)


async def test_a_watch_interrupted_by_a_restart_resumes_without_loss(platform: Platform, workflows: Workflows) -> None:
    """The error event repeats the last sequence, after which the client resumes."""
    text = question()
    await platform.provider.fault("delay", text, argument=4_000)
    run_id = (await workflows.execute((await workflows.create(task("slow", text), task("next")))["workflow_id"]))["run_id"]
    watching = asyncio.create_task(_watched(workflows, run_id))
    await platform.provider.asked(text)

    async def runs() -> bool:
        return bool((await workflows.run(run_id))["steps"][0]["status"] == "STEP_STATUS_RUNNING")

    await eventually(runs)
    await platform.stack.process("orchestrator").stop()
    try:
        *seen, error = await watching
    finally:
        await platform.stack.process("orchestrator").start()
        await platform.recovered()
    assert (error["error"]["code"], error["sequence"]) == ("SERVICE_UNAVAILABLE", seen[-1]["sequence"])
    rest = await _watched(workflows, run_id, error["sequence"])
    assert [event["sequence"] for event in [*seen, *rest[:-1]]] == list(range(1, rest[-1]["sequence"] + 1))
    assert rest[-1]["done"]["status"] == "RUN_STATUS_COMPLETED"


async def test_an_invalid_watch_is_an_ordinary_error(platform: Platform, workflows: Workflows) -> None:
    error_of(await workflows.try_("GET", f"runs/{NOWHERE}/watch"), 404, "RUN_NOT_FOUND")
    run = await workflows.completed(task("a"))
    beyond = run["sequence"] + 1
    refused = await workflows.try_("GET", f"runs/{run['run_id']}/watch", params={"after_sequence": beyond})
    assert error_of(refused, 422, "VALIDATION_ERROR")["details"]["field_violations"][0]["field"] == "after_sequence"
    request = workflow.WatchRunRequest(run_id=run["run_id"], after_sequence=beyond)
    status = await failure(WorkflowServiceStub(platform.gateway).WatchRun(request, timeout=SECONDS).read())
    assert status.code() is grpc.StatusCode.INVALID_ARGUMENT
    error = error_of_status(status)
    assert error is not None
    assert error.reason == "VALIDATION_ERROR"
