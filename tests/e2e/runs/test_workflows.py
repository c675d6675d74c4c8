"""What a user does with workflows over REST: create, list, start, delete."""

import asyncio
import secrets
from typing import Any

import pytest

from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import write_agent
from tests.e2e.platform import Platform, question
from tests.e2e.users import new_user
from tests.e2e.workflows import Workflows, task
from tests.support.waiting import eventually


async def test_a_new_workflow_is_shown_with_effective_values(workflows: Workflows) -> None:
    asked = task("plan", context={"site_type": "shop"})
    made = await workflows.create(asked, name="Relaunch")
    assert (made["name"], made["status"], made["task_count"]) == ("Relaunch", "WORKFLOW_STATUS_PENDING", 1)
    assert (made["results"], made["latest_run_id"]) == ([], "")
    assert made["tasks"] == [
        {
            **asked,
            "depends_on": [],
            "retry": {"max_attempts": 4, "delay_seconds": 30, "backoff": 1},
            "timeout_seconds": 120,
            "on_incomplete": "ON_INCOMPLETE_FAIL",
        }
    ]
    assert await workflows.get(made["workflow_id"]) == made


async def test_all_problems_of_a_workflow_are_reported_at_once(workflows: Workflows) -> None:
    broken = [
        task("a", "{{tasks.b.result}} {{tasks.nobody.result}}", depends_on=["c", "gone"]),
        task("b", agent_id="nobody_agent_1_999999"),
        task("c", "{{tasks.a.answer}}", depends_on=["a"]),
        task("b"),
    ]
    error = error_of(await workflows.try_("POST", "workflows", {"name": "Broken", "tasks": broken}), 422, "VALIDATION_ERROR")
    assert [violation["field"] for violation in error["details"]["field_violations"]] == [
        "tasks[0].depends_on[1]",
        "tasks[0].input",
        "tasks[0].input",
        "tasks[1].agent_id",
        "tasks[2].input",
        "tasks[3].id",
        "tasks[2].depends_on[0]",
    ]
    assert "a → c → a" in error["details"]["field_violations"][-1]["description"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "", "tasks": [task("a")]}, "name"),
        ({"name": "x" * 256, "tasks": [task("a")]}, "name"),
        ({"name": "x\x00", "tasks": [task("a")]}, "name"),
        ({"name": "x", "tasks": []}, "tasks"),
        ({"name": "x", "tasks": [task(f"t{number}") for number in range(101)]}, "tasks"),
        ({"name": "x", "tasks": [task("a", "x\x00")]}, "tasks[0].input"),
        ({"name": "x", "tasks": [task("a"), task("b", context={"y": "\x00"})]}, "tasks[1].context"),
        ({"name": "x", "tasks": [task("a", approval={"message": "\x00"})]}, "tasks[0].approval.message"),
        ({"name": "x", "tasks": [task("a", retry={"max_attempts": 21})]}, "tasks[0].retry.max_attempts"),
    ],
)
async def test_an_invalid_workflow_is_refused_with_the_path(workflows: Workflows, body: Any, path: str) -> None:
    error = error_of(await workflows.try_("POST", "workflows", body), 422, "VALIDATION_ERROR")
    assert [violation["field"] for violation in error["details"]["field_violations"]] == [path]


async def test_workflows_are_listed_newest_first_page_by_page(workflows: Workflows) -> None:
    made = [(await workflows.create(task("a"), name=f"Number {number}"))["workflow_id"] for number in range(3)]
    first = await workflows.ask("GET", "workflows", params={"page_size": 2})
    second = await workflows.ask("GET", "workflows", params={"page_size": 2, "page_token": first["next_page_token"]})
    listed = [*first["workflows"], *second["workflows"]]
    assert [one["workflow_id"] for one in listed][:3] == made[::-1]
    assert all((one["tasks"], one["results"], one["task_count"]) == ([], [], 1) for one in listed[:3])
    waiting = await workflows.ask("GET", "workflows", params={"status": "WORKFLOW_STATUS_PENDING", "page_size": 200})
    assert {one["status"] for one in waiting["workflows"]} == {"WORKFLOW_STATUS_PENDING"}
    error_of(await workflows.try_("GET", "workflows", params={"page_token": "nonsense"}), 422, "VALIDATION_ERROR")


async def test_a_workflow_can_be_run_again_and_its_runs_are_listed(workflows: Workflows) -> None:
    workflow_id = (await workflows.create(task("a")))["workflow_id"]
    runs = []
    for _ in range(3):
        runs.append((await workflows.ended((await workflows.execute(workflow_id))["run_id"]))["run_id"])
    first = await workflows.ask("GET", f"workflows/{workflow_id}/runs", params={"page_size": 2})
    second = await workflows.ask("GET", f"workflows/{workflow_id}/runs", params={"page_token": first["next_page_token"]})
    assert [run["run_id"] for run in [*first["runs"], *second["runs"]]] == runs[::-1]
    assert [run["steps"] for run in first["runs"]] == [[], []]
    assert second["next_page_token"] == ""


async def test_a_second_run_at_the_same_time_is_refused(workflows: Workflows, platform: Platform) -> None:
    text = question()
    await platform.provider.fault("delay", text, argument=1_000)
    workflow_id = (await workflows.create(task("slow", text)))["workflow_id"]
    run = await workflows.execute(workflow_id)
    refused = [
        await workflows.try_("POST", f"workflows/{workflow_id}/execute", {}),
        await workflows.try_("DELETE", f"workflows/{workflow_id}"),
    ]
    for response in refused:
        details = error_of(response, 409, "WORKFLOW_ALREADY_RUNNING")["details"]
        assert (details["workflow_id"], details["run_id"]) == (workflow_id, run["run_id"])
    await workflows.ended(run["run_id"])
    await workflows.execute(workflow_id)


async def test_only_one_of_many_concurrent_executes_starts_a_run(workflows: Workflows, platform: Platform) -> None:
    text = question()
    await platform.provider.fault("delay", text, argument=1_000)
    workflow_id = (await workflows.create(task("slow", text)))["workflow_id"]
    answers = await asyncio.gather(*(workflows.try_("POST", f"workflows/{workflow_id}/execute", {}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]


async def test_deleting_a_workflow_deletes_its_runs_and_keeps_its_executions(workflows: Workflows, platform: Platform) -> None:
    workflow_id = (await workflows.create(task("a")))["workflow_id"]
    run = await workflows.ended((await workflows.execute(workflow_id))["run_id"])
    assert await workflows.ask("DELETE", f"workflows/{workflow_id}") == {}
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/execute"), ("POST", "/cancel"), ("GET", "/runs")]:
        body: Any = {} if method == "POST" else None
        error = error_of(await workflows.try_(method, f"workflows/{workflow_id}{path}", body), 404, "WORKFLOW_NOT_FOUND")
        assert error["details"]["workflow_id"] == workflow_id
    error_of(await workflows.try_("GET", f"runs/{run['run_id']}"), 404, "RUN_NOT_FOUND")
    assert (await platform.execution(run["steps"][0]["execution_id"]))["status"] == "EXECUTION_STATUS_COMPLETED"


async def test_one_key_creates_one_workflow_and_starts_one_run(workflows: Workflows) -> None:
    headers = {"Idempotency-Key": f"key-{secrets.token_hex(8)}"}
    body = {"name": "Once", "tasks": [task("a", context={"x": 1, "y": 2})]}
    answers = await asyncio.gather(*(workflows.ask("POST", "workflows", body, headers=headers) for _ in range(5)))
    ids = {answer["workflow"]["workflow_id"] for answer in answers}
    assert len(ids) == 1
    error_of(await workflows.try_("POST", "workflows", {**body, "name": "Twice"}, headers=headers), 409, "IDEMPOTENCY_CONFLICT")
    (workflow_id,) = ids
    runs = await asyncio.gather(*(workflows.execute(workflow_id, headers=headers) for _ in range(5)))
    assert len({run["run_id"] for run in runs}) == 1
    ended = await workflows.ended(runs[0]["run_id"])
    assert (await workflows.execute(workflow_id, headers=headers))["run_id"] == ended["run_id"]
    other = (await workflows.create(task("a")))["workflow_id"]
    error_of(await workflows.try_("POST", f"workflows/{other}/execute", {}, headers=headers), 409, "IDEMPOTENCY_CONFLICT")
    await workflows.ask("DELETE", f"workflows/{workflow_id}")
    error_of(await workflows.try_("POST", "workflows", body, headers=headers), 404, "WORKFLOW_NOT_FOUND")


async def test_a_workflow_whose_agent_left_the_catalogue_does_not_start(workflows: Workflows, platform: Platform) -> None:
    number = 790_100 + secrets.randbelow(800)
    agent_id = f"trials_leaving_agent_3_{number}"
    path = write_agent(platform.definitions, agent_id)

    async def known() -> bool:
        return (await platform.http.get(f"/api/v1/agents/{agent_id}")).status_code == 200

    await eventually(known)
    workflow_id = (await workflows.create(task("a"), task("b", agent_id=agent_id)))["workflow_id"]
    path.unlink()

    async def unknown() -> bool:
        return not await known()

    await eventually(unknown)
    error = error_of(await workflows.try_("POST", f"workflows/{workflow_id}/execute", {}), 422, "VALIDATION_ERROR")
    assert [violation["field"] for violation in error["details"]["field_violations"]] == ["tasks[1].agent_id"]
    assert (await workflows.get(workflow_id))["status"] == "WORKFLOW_STATUS_PENDING"


async def test_an_administrator_decides_and_cancels_for_others_but_starts_no_run_in_their_name(
    platform: Platform, workflows: Workflows
) -> None:
    """`platform.http` authenticates as the first administrator."""
    owner = await new_user(platform)

    async def waiting() -> dict[str, Any]:
        made = await workflows.create(task("a", approval={"message": "Go?"}), headers=owner.headers)
        return await workflows.execute(made["workflow_id"], headers=owner.headers)

    asked, other = await waiting(), await waiting()
    assert (await workflows.get(asked["workflow_id"]))["user_id"] == owner.user_id
    refused = error_of(await workflows.try_("POST", f"workflows/{asked['workflow_id']}/execute", {}), 404, "WORKFLOW_NOT_FOUND")
    assert "its owner" in refused["message"]
    decided = await workflows.decide(asked["run_id"], "a", "APPROVED", "fine")
    assert decided["steps"][0]["approval"]["decided_by"] not in (0, owner.user_id)
    assert (await workflows.cancel(other["workflow_id"]))["status"] == "RUN_STATUS_CANCELLED"
