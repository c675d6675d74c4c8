"""Workflows and runs in the service and PostgreSQL: ownership and idempotency."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from catalogue.catalogue import Catalogue
from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from mesh.errors import IdempotencyConflict, MeshError, ValidationFailed
from mesh.security.caller import Caller, Role
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.store import PostgresExecutionStore
from orchestrator.adapters.identity.authorities import PostgresAuthorities
from orchestrator.adapters.policy.regopy_engine import RegopyPolicy
from orchestrator.composition.settings import POLICY
from orchestrator.policy.service import PolicyService
from orchestrator.registry.model import HealthState
from orchestrator.registry.service import RegistryService
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.errors import (
    ApprovalNotPending,
    RunNotFound,
    WorkflowAlreadyRunning,
    WorkflowNotFound,
    WorkflowNotRunning,
)
from orchestrator.workflows.model import Approval, Decision, RunQuery, RunState, StepState, Task, Workflow, WorkflowQuery
from orchestrator.workflows.service import Draft, WorkflowService
from orchestrator.workflows.watch import RunWatch
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.following import AGENT_ID, Runs, SilentNotifier, no_live_texts, running_stores
from tests.adapters.orchestrator.workflows.test_run_watch import NeverNotified
from tests.unit.orchestrator.making import catalogue, definition

ANN, BEN = Caller(1, "ann"), Caller(2, "ben")
ADMIN = Caller(3, "root", Role.ADMIN)
NOWHERE = UUID("01900000-0000-7000-8000-000000000000")
DRAFT = Draft("Launch", (Task("a", AGENT_ID, "Do it."), Task("b", AGENT_ID, "Go on: {{tasks.a.result}}")))
ASKING = Draft("Ask", (Task("a", AGENT_ID, "Do it.", approval=Approval("Go?")),))


class NoAgents:
    async def check(self, agent_id: str, port: int) -> HealthState:
        return HealthState.UNREACHABLE


class NoAuditLog:
    """An audit log that discards its entries."""

    def denied(self, who: Caller, what: str, rule: str) -> None:
        """Do nothing."""

    def administered(self, who: Caller, what: str, owner_id: int) -> None:
        """Record nothing."""


@dataclass
class Served:
    """The service and the stores behind it."""

    service: WorkflowService
    registry: RegistryService
    runs: Runs

    async def create(self, caller: Caller = ANN, draft: Draft = DRAFT, **fields: Any) -> Workflow:
        return await self.service.create(caller, replace(draft, **fields))

    async def execute(self, caller: Caller, workflow_id: UUID, key: str = "") -> Any:
        return await self.service.execute(caller, workflow_id, "req_1", key)


@pytest.fixture
async def served(books_url: str, db: Connection, users: None, engine: AsyncEngine) -> AsyncIterator[Served]:
    await db.execute("TRUNCATE workflows CASCADE")
    models = ModelNames(PriceBook.load(), "claude-sonnet-5-5")
    registry = RegistryService(catalogue(definition(1)), models, 0, NoAgents())
    async with running_stores(books_url, engine, SilentNotifier()) as runs:
        watch = RunWatch(runs.store, NeverNotified(), no_live_texts(), BackgroundTasks())
        authority = RunAuthority(PostgresAuthorities(engine), registry, PolicyService(RegopyPolicy(POLICY), NoAuditLog()))
        yield Served(
            WorkflowService(registry, authority, runs.workflows, runs.store, PostgresExecutionStore(engine), watch), registry, runs
        )


async def listed(served: Served, caller: Caller, **fields: Any) -> Sequence[UUID]:
    page = await served.service.list(WorkflowQuery(caller.sees, **{"page_size": 50, **fields}))
    return [workflow.workflow_id for workflow in page.workflows]


async def test_a_workflow_is_read_back_as_it_was_created(served: Served) -> None:
    task = Task("a", AGENT_ID, "Do it.", {"deep": [1, {"b": None}]}, timeout_seconds=7, approval=Approval("Go?", 60, Decision.APPROVED))
    made = await served.create(tasks=(task,))
    assert (made.name, made.user_id, made.state, made.task_count) == ("Launch", ANN.user_id, RunState.PENDING, 1)
    found = await served.service.get(ANN, made.workflow_id)
    assert ([replace(one, depends_on=()) for one in found.tasks], found.results, found.latest_run_id) == ([task], [], None)


async def test_users_see_their_own_workflows_and_an_admin_sees_all(served: Served) -> None:
    anns, bens = [(await served.create(caller)).workflow_id for caller in (ANN, BEN)]
    assert await listed(served, ANN) == [anns]
    assert await listed(served, BEN) == [bens]
    assert await listed(served, ADMIN) == [bens, anns]
    assert (await served.service.get(ADMIN, anns)).user_id == ANN.user_id


async def test_an_object_of_another_user_is_not_found(served: Served) -> None:
    made = await served.create(ANN, ASKING)
    run = await served.execute(ANN, made.workflow_id)
    service, workflow_id = served.service, made.workflow_id
    attempts: list[tuple[type[MeshError], Callable[[], Awaitable[Any]]]] = [
        (WorkflowNotFound, lambda: service.get(BEN, workflow_id)),
        (WorkflowNotFound, lambda: service.delete(BEN, workflow_id)),
        (WorkflowNotFound, lambda: served.execute(BEN, workflow_id)),
        (WorkflowNotFound, lambda: service.cancel(BEN, workflow_id)),
        (WorkflowNotFound, lambda: service.runs(BEN, RunQuery(2, 50, workflow_id=workflow_id))),
        (RunNotFound, lambda: service.run(BEN, run.run_id)),
        (RunNotFound, lambda: service.watch(BEN, run.run_id, 0)),
        (RunNotFound, lambda: service.decide(BEN, run.run_id, "a", Decision.APPROVED, "")),
    ]
    for error, attempt in attempts:
        with pytest.raises(error) as refused:
            await attempt()
        wanted = str(workflow_id if error is WorkflowNotFound else run.run_id)
        assert list(refused.value.details.values()) == [wanted]
    assert (await service.run(ANN, run.run_id)).state is RunState.WAITING_APPROVAL


async def test_an_admin_decides_and_cancels_for_others_but_starts_no_run_in_their_name(served: Served) -> None:
    made = await served.create(ANN, ASKING)
    with pytest.raises(WorkflowNotFound):
        await served.execute(ADMIN, made.workflow_id)
    run = await served.execute(ANN, made.workflow_id)
    decided = await served.service.decide(ADMIN, run.run_id, "a", Decision.APPROVED, "fine")
    approval = decided.steps[0].approval
    assert approval is not None
    assert (approval.decision, approval.decided_by, approval.reason) == (Decision.APPROVED, ADMIN.user_id, "fine")
    assert (await served.service.cancel(ADMIN, made.workflow_id)).state is RunState.CANCELLED


async def test_pages_are_newest_first_without_gaps(served: Served) -> None:
    made = [(await served.create()).workflow_id for _ in range(5)]
    first = await served.service.list(WorkflowQuery(ANN.user_id, 2))
    assert first.more
    rest = await listed(served, ANN, before=first.workflows[-1].workflow_id)
    assert [*(one.workflow_id for one in first.workflows), *rest] == made[::-1]
    await served.execute(ANN, made[0])
    await served.service.cancel(ANN, made[0])
    assert await listed(served, ANN, state=RunState.PENDING) == made[:0:-1]
    assert await listed(served, ANN, state=RunState.CANCELLED) == made[:1]


async def test_a_page_has_at_most_200_items(served: Served) -> None:
    for _ in range(20):  # no more at once than there are connections
        await asyncio.gather(*(served.create() for _ in range(10)))
    await served.create()
    assert len(await listed(served, ANN, page_size=100_000)) == 200


async def test_a_run_is_completed_and_its_results_are_found(served: Served) -> None:
    made = await served.create()
    run = await served.execute(ANN, made.workflow_id)
    assert [step.state for step in run.steps] == [StepState.READY, StepState.PENDING]
    await served.runs.finish()
    found = await served.service.get(ANN, made.workflow_id)
    assert (found.state, found.latest_run_id) == (RunState.COMPLETED, run.run_id)
    assert [(one.task_id, one.result) for one in found.results] == [("a", "the answer of a"), ("b", "the answer of b")]
    page = await served.service.runs(ANN, RunQuery(1, 50, workflow_id=made.workflow_id))
    assert [(one.run_id, one.state, list(one.steps)) for one in page.runs] == [(run.run_id, RunState.COMPLETED, [])]


async def test_the_error_for_a_second_run_names_the_active_one(served: Served) -> None:
    made = await served.create()
    run = await served.execute(ANN, made.workflow_id)
    for attempt in (served.execute, served.service.delete):
        with pytest.raises(WorkflowAlreadyRunning) as refused:
            await attempt(ANN, made.workflow_id)
        assert refused.value.details == {"workflow_id": str(made.workflow_id), "run_id": str(run.run_id)}


async def test_cancelling_before_any_step_runs_takes_effect_at_once_and_once(served: Served) -> None:
    made = await served.create()
    with pytest.raises(WorkflowNotRunning):
        await served.service.cancel(ANN, made.workflow_id)
    await served.execute(ANN, made.workflow_id)
    run = await served.service.cancel(ANN, made.workflow_id)
    assert (run.state, run.stopped_steps) == (RunState.CANCELLED, ())
    assert {step.state for step in run.steps} == {StepState.CANCELLED}
    with pytest.raises(WorkflowNotRunning) as refused:
        await served.service.cancel(ANN, made.workflow_id)
    assert refused.value.details == {"workflow_id": str(made.workflow_id)}
    await served.service.delete(ANN, made.workflow_id)
    with pytest.raises(WorkflowNotFound):
        await served.service.cancel(ANN, made.workflow_id)


async def test_an_approval_is_decided_once(served: Served) -> None:
    run = await served.execute(ANN, (await served.create(ANN, ASKING)).workflow_id)
    decisions = [served.service.decide(ANN, run.run_id, "a", decision, "") for decision in (Decision.APPROVED, Decision.REJECTED) * 3]
    outcomes = await asyncio.gather(*decisions, return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert len(refused) == len(outcomes) - 1
    assert all(isinstance(one, ApprovalNotPending) for one in refused)


async def test_a_reason_that_cannot_be_stored_is_refused(served: Served) -> None:
    run = await served.execute(ANN, (await served.create(ANN, ASKING)).workflow_id)
    with pytest.raises(ValidationFailed):
        await served.service.decide(ANN, run.run_id, "a", Decision.APPROVED, "\x00")


async def test_one_key_creates_one_workflow_for_each_user(served: Served) -> None:
    made = await asyncio.gather(*(served.create(ANN, idempotency_key="k") for _ in range(8)))
    assert len({one.workflow_id for one in made}) == 1
    assert (await served.create(BEN, idempotency_key="k")).workflow_id != made[0].workflow_id
    with pytest.raises(IdempotencyConflict) as refused:
        await served.create(ANN, idempotency_key="k", name="Another")
    assert refused.value.details == {"idempotency_key": "k"}
    await served.service.delete(ANN, made[0].workflow_id)
    with pytest.raises(WorkflowNotFound, match="deleted"):
        await served.create(ANN, idempotency_key="k")


async def test_one_key_starts_one_run_also_after_it_has_ended(served: Served) -> None:
    made = await served.create()
    runs = await asyncio.gather(*(served.execute(ANN, made.workflow_id, "k") for _ in range(8)))
    assert len({run.run_id for run in runs}) == 1
    await served.runs.finish()
    again = await served.execute(ANN, made.workflow_id, "k")
    assert (again.run_id, again.state) == (runs[0].run_id, RunState.COMPLETED)
    with pytest.raises(IdempotencyConflict):
        await served.execute(ANN, (await served.create()).workflow_id, "k")
    assert (await served.execute(ANN, made.workflow_id, "k2")).run_id != runs[0].run_id


async def test_the_key_of_a_refused_run_is_released(served: Served) -> None:
    made = await served.create()
    await served.execute(ANN, made.workflow_id)
    with pytest.raises(WorkflowAlreadyRunning):
        await served.execute(ANN, made.workflow_id, "k")
    await served.runs.finish()
    assert (await served.execute(ANN, made.workflow_id, "k")).state is not RunState.COMPLETED


async def test_a_key_is_forgotten_after_a_day(served: Served, db: Connection) -> None:
    first = await served.create(idempotency_key="k")
    await db.execute("UPDATE idempotency_keys SET expires_at = clock_timestamp() - interval '1 second'")
    assert (await served.create(idempotency_key="k", name="Another")).workflow_id != first.workflow_id


async def test_agents_that_left_the_catalogue_are_named(served: Served) -> None:
    made = await served.create()
    run = await served.execute(ANN, made.workflow_id, "k")
    await served.runs.finish()
    served.registry.renew(Catalogue(()))
    with pytest.raises(ValidationFailed) as refused:
        await served.execute(ANN, made.workflow_id)
    assert [one.field for one in refused.value.violations] == ["tasks[0].agent_id", "tasks[1].agent_id"]
    assert (await served.execute(ANN, made.workflow_id, "k")).run_id == run.run_id  # a repeated request gets its first response


async def test_a_watch_cannot_start_after_a_change_that_does_not_exist(served: Served) -> None:
    run = await served.execute(ANN, (await served.create()).workflow_id)
    with pytest.raises(ValidationFailed) as refused:
        await served.service.watch(ANN, run.run_id, run.sequence + 1)
    assert [one.field for one in refused.value.violations] == ["after_sequence"]
    for missing in (served.service.run(ANN, NOWHERE), served.service.watch(ANN, NOWHERE, 0)):
        with pytest.raises(RunNotFound):
            await missing
