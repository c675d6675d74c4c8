"""Background executions (runs without a workflow) and the list of steps that wait for a decision, on PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from catalogue.catalogue import Catalogue
from catalogue.errors import AgentNotFound
from mesh.errors import IdempotencyConflict, ValidationFailed
from mesh.security.caller import Caller
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.policy.regopy_engine import RegopyPolicy
from orchestrator.adapters.retention.retention import Retention, RetentionUpkeep
from orchestrator.composition.settings import POLICY
from orchestrator.policy.errors import PolicyDenied
from orchestrator.policy.service import PolicyService
from orchestrator.workflows.assignment import Assignment
from orchestrator.workflows.background import STEP, AgentWork, BackgroundExecutions
from orchestrator.workflows.errors import RunNotActive, RunNotFound
from orchestrator.workflows.model import Approval, ApprovalQuery, Decision, Run, RunQuery, RunState, StepState, Task
from orchestrator.workflows.service import Draft
from orchestrator.workflows.watch import RunWatch
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.following import AGENT_ID, no_live_texts, subject_and_state, watched
from tests.adapters.orchestrator.workflows.test_run_authority import Scenario, scenario
from tests.adapters.orchestrator.workflows.test_run_watch import NeverNotified
from tests.adapters.orchestrator.workflows.test_workflow_service import ADMIN, ANN, BEN, NoAuditLog, Served, served

__all__ = ("Scenario", "scenario", "served")
LONG_AGO = UUID("01800000-0000-7000-8000-000000000000")
WORK = AgentWork(AGENT_ID, "Find keywords.", {"market": ["de", {"deep": None}]})


@dataclass
class Background:
    """The service under test, which shares the stores of the workflow service."""

    service: BackgroundExecutions
    served: Served

    async def start(self, who: Caller = ANN, **fields: Any) -> Run:
        """A new background execution."""
        return await self.service.start(who, replace(WORK, **fields), "req_1")


@pytest.fixture
async def background(served: Served, db: Connection, engine: AsyncEngine) -> AsyncIterator[Background]:
    await db.execute("TRUNCATE runs CASCADE")
    policy = PolicyService(RegopyPolicy(POLICY), NoAuditLog())
    yield Background(BackgroundExecutions(served.registry, policy, served.runs.store, served.runs.workflows), served)
    await db.execute("TRUNCATE runs CASCADE")


async def test_a_background_execution_is_a_run_of_one_step(background: Background, db: Connection) -> None:
    run = await background.start()
    assert (run.workflow_id, run.agent_id, run.user_id, run.state) == (None, AGENT_ID, ANN.user_id, RunState.PENDING)
    assert [(step.task_id, step.agent_id, step.state) for step in run.steps] == [(STEP, AGENT_ID, StepState.READY)]
    await background.served.runs.finish()
    service = background.served.service
    done = await service.run(ANN, run.run_id)
    assert (done.state, done.agent_id, done.steps[0].result) == (RunState.COMPLETED, AGENT_ID, "the answer of agent")
    details, sent, _ = await service.step(ANN, run.run_id, STEP)
    assert (sent, details.context) == (WORK.input, WORK.context)
    (listed,) = (await service.runs(ANN, RunQuery(ANN.user_id, 50, agent_id=AGENT_ID))).runs
    assert (listed.run_id, listed.workflow_id, listed.agent_id) == (run.run_id, None, AGENT_ID)
    changes = [
        subject_and_state(change)
        for change in await watched(RunWatch(background.served.runs.store, NeverNotified(), no_live_texts(), BackgroundTasks()), done)
    ]
    assert changes[-2:] == [(STEP, "completed"), ("run", "completed")]
    events = await db.fetch("SELECT event_type, data FROM outbox WHERE aggregate_id = $1 ORDER BY id", str(run.run_id))
    assert [event["event_type"] for event in events] == ["workflow.started", "workflow.completed"]
    assert [json.loads(event["data"])["workflow_id"] for event in events] == ["", ""]


@pytest.mark.parametrize("text", ["{{tasks.agent.result}}", "{{tasks.other.result}} and {{tasks. broken", "plain"])
async def test_the_input_of_a_background_execution_is_sent_unchanged(background: Background, text: str) -> None:
    """References are resolved only in workflows."""
    run = await background.start(input=text)
    (assignment,) = await claimed(background)
    assert (assignment.input, assignment.background) == (text, True)
    assert (await background.served.service.step(ANN, run.run_id, STEP))[1] == text


async def test_references_in_the_input_of_a_workflow_step_are_resolved(background: Background) -> None:
    served = background.served
    await served.execute(ANN, (await served.create()).workflow_id)
    assert [assignment.background for assignment in await claimed(background)] == [False]


async def claimed(background: Background) -> list[Assignment]:
    return list((await background.served.runs.steps.claim(10)).assignments)


async def test_runs_of_workflows_and_background_executions_start_in_one_commit(background: Background) -> None:
    served = background.served
    made = [await served.create() for _ in range(3)]
    runs = await asyncio.gather(*(served.execute(ANN, one.workflow_id) for one in made), *(background.start() for _ in range(5)))
    assert len({run.run_id for run in runs}) == 8
    await served.runs.finish()
    assert {(await served.service.run(ANN, run.run_id)).state for run in runs} == {RunState.COMPLETED}
    assert {(await served.service.get(ANN, one.workflow_id)).state for one in made} == {RunState.COMPLETED}


async def test_one_key_starts_one_background_execution(background: Background, db: Connection) -> None:
    runs = await asyncio.gather(*(background.start(idempotency_key="k") for _ in range(8)))
    assert len({run.run_id for run in runs}) == 1
    assert (await background.start(BEN, idempotency_key="k")).run_id != runs[0].run_id
    for other in ({"input": "Other."}, {"context": None}, {"timeout_seconds": 7}, {"retry": replace(WORK.retry, max_attempts=1)}):
        with pytest.raises(IdempotencyConflict):
            await background.start(idempotency_key="k", **other)
    background.served.registry.renew(Catalogue(()))
    assert (await background.start(idempotency_key="k")).run_id == runs[
        0
    ].run_id  # the repeated request succeeds although the agent has left the catalogue
    with pytest.raises(AgentNotFound):
        await background.start(idempotency_key="k2")
    await db.execute("DELETE FROM runs WHERE run_id = $1", runs[0].run_id)
    with pytest.raises(RunNotFound, match="deleted"):
        await background.start(idempotency_key="k")


@pytest.mark.parametrize("bad", [{"input": "\x00"}, {"context": {"a": "\x00"}}, {"context": {"\x00": 1}}])
async def test_text_that_cannot_be_stored_starts_nothing(background: Background, db: Connection, bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed):
        await background.start(**bad)
    assert await db.fetchval("SELECT count(*) FROM runs") == 0


async def test_the_policy_decides_before_anything_starts(scenario: Scenario, db: Connection) -> None:
    """Only administrators and `workflows.user.1` may call the agent."""
    service = scenario.background
    with pytest.raises(PolicyDenied):
        await service.start(Caller(2, "workflows.user.2"), WORK, "req_1")
    assert await db.fetchval("SELECT count(*) FROM runs WHERE user_id = 2") == 0
    assert (await service.start(Caller(1, "workflows.user.1"), WORK, "req_1")).user_id == 1


async def test_only_the_owner_cancels_a_background_execution(background: Background) -> None:
    run = await background.start()
    service = background.served.service
    for attempt in (service.cancel_run(BEN, run.run_id), service.run(BEN, run.run_id), service.watch(BEN, run.run_id, 0)):
        with pytest.raises(RunNotFound):
            await attempt
    assert (await service.cancel_run(ANN, run.run_id)).state is RunState.CANCELLED
    with pytest.raises(RunNotActive):
        await service.cancel_run(ANN, run.run_id)


async def test_retention_deletes_background_executions(background: Background, db: Connection, engine: AsyncEngine) -> None:
    old, active = await background.start(), await background.start()
    await background.served.service.cancel_run(ANN, old.run_id)
    for number, run in enumerate((old, active)):
        await db.execute("DELETE FROM steps WHERE run_id = $1", run.run_id)
        await db.execute("DELETE FROM run_events WHERE run_id = $1", run.run_id)
        aged = "UPDATE runs SET run_id = $2, finished_at = finished_at - interval '1000 days' WHERE run_id = $1"
        await db.execute(aged, run.run_id, UUID(int=LONG_AGO.int + number))
    deleted = await RetentionUpkeep(engine, Retention(executions=0, runs=90, run_changes=0, audit=0)).delete_old()
    assert deleted == {"runs": 1}
    assert await db.fetchval("SELECT status FROM runs") == "pending"


def asking(name: str, seconds: int) -> Draft:
    return Draft(name, [Task("ask", AGENT_ID, "Do it.", approval=Approval(f"{name}?", seconds))])


async def waiting(background: Background, who: Caller, name: str, seconds: int) -> Run:
    served = background.served
    run: Run = await served.execute(who, (await served.create(who, asking(name, seconds))).workflow_id)
    return run


async def names(background: Background, user_id: int | None) -> list[str]:
    page = await background.served.service.approvals(ApprovalQuery(user_id, 50))
    assert not page.more
    return [one.workflow_name for one in page.approvals]


async def test_approvals_are_listed_to_their_owner_by_expiry(background: Background) -> None:
    later = await waiting(background, ANN, "Later", 7200)
    await waiting(background, ANN, "Soon", 60)
    await waiting(background, BEN, "Bens", 600)
    await background.start()
    assert await names(background, ANN.user_id) == ["Soon", "Later"]
    assert await names(background, BEN.user_id) == ["Bens"]
    assert await names(background, ADMIN.user_id) == []
    assert await names(background, None) == ["Soon", "Bens", "Later"]
    (found,) = [one for one in (await background.served.service.approvals(ApprovalQuery(1, 50))).approvals if one.run_id == later.run_id]
    assert (found.task_id, found.agent_id, found.user_id, found.workflow_id) == ("ask", AGENT_ID, ANN.user_id, later.workflow_id)
    assert (found.approval.message, found.approval.expires_at, found.run_created_at) == ("Later?", found.expires_at, later.created_at)


async def test_an_approval_disappears_when_it_is_decided_or_its_run_is_cancelled(background: Background) -> None:
    decided, cancelled = await waiting(background, ANN, "A", 60), await waiting(background, ANN, "B", 60)
    service = background.served.service
    await service.decide(ANN, decided.run_id, "ask", Decision.APPROVED, "")
    assert await names(background, ANN.user_id) == ["B"]
    await service.cancel_run(ANN, cancelled.run_id)
    assert await names(background, ANN.user_id) == []


async def test_pages_of_approvals_have_no_gaps(background: Background, db: Connection) -> None:
    """Also if many expire in the same microsecond."""
    runs = {(await waiting(background, ANN, "Same", 60)).run_id for _ in range(7)}
    await db.execute("UPDATE steps SET approval_expires_at = '2030-01-01' WHERE status = 'waiting_approval'")
    service, found, query = background.served.service, [], ApprovalQuery(ANN.user_id, 3)
    while True:
        page = await service.approvals(query)
        found += [one.run_id for one in page.approvals]
        if not page.more:
            break
        query = replace(query, after=page.approvals[-1].place)
    assert (len(found), set(found)) == (7, runs)
