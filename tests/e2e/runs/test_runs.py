"""The behaviour of a run, as its owner sees it over REST: order, results, failures, cancellation and approval."""

import pytest

from catalogue.prompt import result_block
from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT, STRICT
from tests.e2e.platform import Platform, question
from tests.e2e.workflows import AT_ONCE, Workflows, steps_of, task
from tests.support.waiting import eventually


async def test_listed_tasks_run_in_order_and_their_results_are_kept(workflows: Workflows, platform: Platform) -> None:
    first = question()
    made = await workflows.create(task("research", first), task("write", "Use this: {{tasks.research.result}}"), task("check"))
    started = await workflows.execute(made["workflow_id"])
    assert (started["workflow_id"], list(steps_of(started))) == (made["workflow_id"], ["research", "write", "check"])
    run = await workflows.ended(started["run_id"])
    assert run["status"] == "RUN_STATUS_COMPLETED"
    steps = steps_of(run)
    assert [step["status"] for step in steps.values()] == ["STEP_STATUS_COMPLETED"] * 3
    assert [step["attempts"] for step in steps.values()] == [1, 1, 1]
    times = [(step["started_at"], step["finished_at"]) for step in steps.values()]
    assert [moment for span in times for moment in span] == sorted(moment for span in times for moment in span)
    for step in steps.values():
        assert step["agent_revision"]
        assert int(step["usage"]["cost_micro_usd"]) > 0
        assert (await platform.execution(step["execution_id"]))["result"] == step["result"]
    used = (await platform.execution(steps["write"]["execution_id"]))["input"]
    assert used == f"Use this: {result_block('research', steps['research']['result'])}"
    after = await workflows.get(made["workflow_id"])
    assert (after["status"], after["latest_run_id"]) == ("WORKFLOW_STATUS_COMPLETED", run["run_id"])
    assert [(one["task_id"], one["result"]) for one in after["results"]] == [(task_id, step["result"]) for task_id, step in steps.items()]
    assert len(platform.provider.purchases(first)) == 1


async def test_independent_tasks_run_concurrently(workflows: Workflows, platform: Platform) -> None:
    texts = [question(), question()]
    for text in texts:
        await platform.provider.fault("delay", text, argument=1_500)
    joined = task("join", "{{tasks.left.result}} {{tasks.right.result}}", depends_on=["left", "right"])
    run = await workflows.completed(task("left", texts[0]), task("right", texts[1]), joined)
    steps = steps_of(run)
    assert max(steps["left"]["started_at"], steps["right"]["started_at"]) < min(steps["left"]["finished_at"], steps["right"]["finished_at"])
    assert steps["join"]["started_at"] >= max(steps["left"]["finished_at"], steps["right"]["finished_at"])


async def test_a_retryable_failure_is_retried(workflows: Workflows, platform: Platform) -> None:
    text = question()
    await platform.provider.fault("malformed", text, count=2)
    run = await workflows.completed(task("flaky", text, retry=AT_ONCE))
    (step,) = run["steps"]
    assert step["attempts"] == len(platform.provider.purchases(text)) > 1


async def test_a_permanent_failure_fails_the_run_and_keeps_completed_results(workflows: Workflows, platform: Platform) -> None:
    tasks = [task("good"), task("bad", agent_id=STRICT, context={"audience": "nobody"}), task("never")]
    made = await workflows.create(*tasks)
    run = await workflows.ended((await workflows.execute(made["workflow_id"]))["run_id"])
    assert (run["status"], run["failed_step_id"], run["failure"]["code"]) == ("RUN_STATUS_FAILED", "bad", "VALIDATION_ERROR")
    steps = steps_of(run)
    assert [step["status"] for step in steps.values()] == ["STEP_STATUS_COMPLETED", "STEP_STATUS_FAILED", "STEP_STATUS_CANCELLED"]
    assert (steps["bad"]["attempts"], steps["bad"]["failure"]["details"]["retryable"]) == (1, False)
    after = await workflows.get(made["workflow_id"])
    assert after["status"] == "WORKFLOW_STATUS_FAILED"
    assert [one["task_id"] for one in after["results"]] == ["good"]


async def test_an_input_that_becomes_too_long_fails_its_step_at_once(workflows: Workflows, platform: Platform) -> None:
    text = question()
    await platform.provider.fault("big", text, argument=150_000)
    made = await workflows.create(task("long", text), task("longer", "{{tasks.long.result}}{{tasks.long.result}}"))
    run = await workflows.ended((await workflows.execute(made["workflow_id"]))["run_id"])
    step = steps_of(run)["longer"]
    assert (run["status"], run["failed_step_id"], step["failure"]["code"]) == ("RUN_STATUS_FAILED", "longer", "VALIDATION_ERROR")
    assert "200,000" in step["failure"]["message"]


async def test_cancelling_stops_running_steps_and_reports_their_cost(workflows: Workflows, platform: Platform) -> None:
    texts = [question(), question()]
    for text in texts:
        await platform.provider.fault("hang", text)
    tasks = [task("left", texts[0]), task("right", texts[1]), task("join", depends_on=["left", "right"])]
    workflow_id = (await workflows.create(*tasks))["workflow_id"]
    run_id = (await workflows.execute(workflow_id))["run_id"]
    for text in texts:
        await platform.provider.asked(text)
    asked = await workflows.cancel(workflow_id)
    assert asked["run_id"] == run_id
    assert asked["status"] in ("RUN_STATUS_CANCELLING", "RUN_STATUS_CANCELLED")
    await eventually(platform.provider.idle, 1.0)
    run = await workflows.ended(run_id)
    assert run["status"] == "RUN_STATUS_CANCELLED"
    receipt = run["cancellation"]
    assert receipt["requested_at"] <= receipt["finished_at"]
    assert sorted(one["task_id"] for one in receipt["stopped_steps"]) == ["left", "right"]
    for stopped in receipt["stopped_steps"]:
        assert (await platform.settled(stopped["execution_id"]))["status"] == "EXECUTION_STATUS_CANCELLED"
    assert {step["status"] for step in run["steps"]} == {"STEP_STATUS_CANCELLED"}
    details = error_of(await workflows.try_("POST", f"workflows/{workflow_id}/cancel", {}), 409, "WORKFLOW_NOT_RUNNING")["details"]
    assert details["workflow_id"] == workflow_id


async def test_a_background_execution_completes_without_its_client(workflows: Workflows, platform: Platform) -> None:
    """It is retried like a step, found by its run id, and billed once for each attempt."""
    text = question() + " {{tasks.agent.result}}"
    await platform.provider.fault("malformed", text, count=2)
    body, key = {"input": text, "retry": AT_ONCE}, {"Idempotency-Key": "background-" + text[-80:-60].encode().hex()}
    started = (await workflows.ask("POST", f"agents/{AGENT}/start", body, headers=key))["run"]
    assert (started["workflow_id"], started["agent_id"], list(steps_of(started))) == ("", AGENT, ["agent"])
    assert (await workflows.ask("POST", f"agents/{AGENT}/start", body, headers=key))["run"]["run_id"] == started["run_id"]
    run = await workflows.ended(started["run_id"])
    step = steps_of(run)["agent"]
    assert (run["status"], step["attempts"]) == ("RUN_STATUS_COMPLETED", len(platform.provider.purchases(text)))
    execution = await platform.execution(step["execution_id"])
    assert (execution["input"], execution["result"]) == (text, step["result"])
    watched = await workflows.try_("GET", f"runs/{run['run_id']}/watch?after_sequence=1")
    assert "WatchDone" in watched.text or '"done":' in watched.text


async def test_an_approved_step_runs(workflows: Workflows) -> None:
    workflow_id = (await workflows.create(task("draft"), task("send", approval={"message": "Send it?"})))["workflow_id"]
    run_id = (await workflows.execute(workflow_id))["run_id"]
    waiting = await workflows.reached(run_id, "RUN_STATUS_WAITING_APPROVAL")
    step = steps_of(waiting)["send"]
    assert (step["status"], step["attempts"]) == ("STEP_STATUS_WAITING_APPROVAL", 0)
    assert (step["approval"]["message"], step["approval"]["decision"]) == ("Send it?", "APPROVAL_DECISION_UNSPECIFIED")
    assert step["approval"]["expires_at"]
    assert (await workflows.get(workflow_id))["status"] == "WORKFLOW_STATUS_WAITING_APPROVAL"
    pending = (await workflows.ask("GET", "approvals?page_size=200"))["approvals"]
    (listed,) = [one for one in pending if one["run_id"] == run_id]
    assert (listed["step_id"], listed["workflow_name"], listed["approval"]) == ("send", "Launch", step["approval"])
    decided = steps_of(await workflows.decide(run_id, "send", "APPROVED", "looks good"))["send"]["approval"]
    assert (decided["decision"], decided["reason"]) == ("APPROVAL_DECISION_APPROVED", "looks good")
    assert (await workflows.ended(run_id))["status"] == "RUN_STATUS_COMPLETED"
    again = await workflows.try_("POST", f"runs/{run_id}/steps/send/decide", {"decision": "APPROVAL_DECISION_REJECTED"})
    details = error_of(again, 409, "APPROVAL_NOT_PENDING")["details"]
    assert (details["run_id"], details["step_id"]) == (run_id, "send")


async def test_a_rejected_step_fails_the_run(workflows: Workflows) -> None:
    workflow_id = (await workflows.create(task("send", approval={"message": "Send it?"})))["workflow_id"]
    run_id = (await workflows.execute(workflow_id))["run_id"]
    await workflows.reached(run_id, "RUN_STATUS_WAITING_APPROVAL")
    await workflows.decide(run_id, "send", "REJECTED", "not yet")
    run = await workflows.ended(run_id)
    assert (run["status"], run["failed_step_id"]) == ("RUN_STATUS_FAILED", "send")
    assert steps_of(run)["send"]["attempts"] == 0


@pytest.mark.parametrize(("default", "status"), [("APPROVED", "COMPLETED"), ("REJECTED", "FAILED")])
async def test_an_unanswered_approval_is_decided_by_the_tasks_default(workflows: Workflows, default: str, status: str) -> None:
    approval = {"timeout_seconds": 1, "default_decision": f"APPROVAL_DECISION_{default}"}
    workflow_id = (await workflows.create(task("send", approval=approval)))["workflow_id"]
    run = await workflows.ended((await workflows.execute(workflow_id))["run_id"])
    assert run["status"] == f"RUN_STATUS_{status}"
    decided = run["steps"][0]["approval"]
    assert (decided["decision"], decided["decided_by"]) == (f"APPROVAL_DECISION_{default}", 0)


async def test_an_invalid_decision_is_refused(workflows: Workflows) -> None:
    run_id = (await workflows.completed(task("a")))["run_id"]
    path = f"runs/{run_id}/steps/a/decide"
    for body in ({}, {"decision": "APPROVAL_DECISION_UNSPECIFIED"}, {"decision": 7}):
        error_of(await workflows.try_("POST", path, body), 422, "VALIDATION_ERROR")
    body = {"decision": "APPROVAL_DECISION_APPROVED"}
    error_of(await workflows.try_("POST", f"runs/{run_id}/steps/nobody/decide", body), 409, "APPROVAL_NOT_PENDING")
