"""A run acts with the current authority of its user: roles, policy, disabled and deleted users, revoked keys."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import yaml
from sqlalchemy.ext.asyncio import AsyncEngine

from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from mesh.rpc.status import retryable
from mesh.security import caller
from mesh.security.caller import Caller, Role
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.store import PostgresExecutionStore
from orchestrator.adapters.identity.authorities import PostgresAuthorities
from orchestrator.adapters.policy.regopy_engine import RegopyPolicy
from orchestrator.composition.settings import POLICY
from orchestrator.executions.facts import AnswerFacts, StopReason
from orchestrator.executions.stop import StopSignal
from orchestrator.policy.service import PolicyService
from orchestrator.registry.service import RegistryService
from orchestrator.workflows.assignment import AttemptFailed, Completed
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.background import BackgroundExecutions
from orchestrator.workflows.engine.performer import StepPerformer
from orchestrator.workflows.model import Approval, Decision, Run, RunState, StepState, Task, View
from orchestrator.workflows.service import Draft, WorkflowService
from orchestrator.workflows.watch import RunWatch
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.engine import step_store
from tests.adapters.orchestrator.workflows.following import AGENT_ID, DroppedText, SilentNotifier, no_live_texts, running_stores
from tests.adapters.orchestrator.workflows.test_run_watch import NeverNotified
from tests.adapters.orchestrator.workflows.test_workflow_service import NoAgents, NoAuditLog
from tests.unit.orchestrator.making import catalogue, definition

ANN, ROOT = Caller(1, "workflows.user.1"), Caller(3, "workflows.user.3", Role.ADMIN)
ASKING = Task("a", AGENT_ID, "Do it.", approval=Approval("Go?"))


@dataclass
class Scenario:
    """The service, its database, and the authority of runs."""

    service: WorkflowService
    authority: RunAuthority
    db: Connection
    url: str
    background: BackgroundExecutions

    async def start(self, who: Caller, *tasks: Task) -> Run:
        """A run of a new workflow."""
        made = await self.service.create(who, Draft("Launch", tasks))
        return await self.service.execute(who, made.workflow_id, "req_1", "")

    async def recovered(self, run: Run) -> Run:
        """The run after a worker's periodic recovery."""
        async with step_store(self.url) as store:
            await store.recover()
        return await self.service.run(ROOT, run.run_id, View.FULL)

    async def performed(self, who: Caller) -> tuple[Any, list[Caller]]:
        """The outcome of the only ready step, and the users as whom agents were called for it."""
        called: list[Caller] = []

        async def execute(*_: Any) -> Any:
            called.append(caller.current())
            return SimpleNamespace(result="done", metadata={}, facts=AnswerFacts(stop_reason=StopReason.END_TURN))

        performer = StepPerformer(SimpleNamespace(execute=execute), self.authority, retryable, DroppedText())  # type: ignore[arg-type]
        async with step_store(self.url) as store:
            (assignment,) = (await store.claim(1)).assignments
            assert assignment.principal.user_id == who.user_id
            return await performer.perform(assignment, StopSignal()), called


@pytest.fixture
async def scenario(books_url: str, db: Connection, users: None, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Scenario]:
    """The real rules and stores; only administrators may call the agent."""
    await db.execute("TRUNCATE workflows CASCADE; UPDATE users SET role = 'admin' WHERE id = 3")
    folder = shutil.copytree(POLICY, tmp_path / "policy")
    data = yaml.safe_load((folder / "access.yaml").read_text())
    data["access"]["restricted"]["agents"] = {AGENT_ID: {"roles": ["admin"], "users": [ANN.username]}}
    (folder / "access.yaml").write_text(yaml.safe_dump(data))
    registry = RegistryService(catalogue(definition(1)), ModelNames(PriceBook.load(), "claude-sonnet-5-5"), 0, NoAgents())
    policy = PolicyService(RegopyPolicy(folder), NoAuditLog())
    authority = RunAuthority(PostgresAuthorities(engine, seconds=0), registry, policy)
    async with running_stores(books_url, engine, SilentNotifier()) as runs:
        watch = RunWatch(runs.store, NeverNotified(), no_live_texts(), BackgroundTasks())
        yield Scenario(
            WorkflowService(registry, authority, runs.workflows, runs.store, PostgresExecutionStore(engine), watch),
            authority,
            db,
            books_url,
            BackgroundExecutions(registry, policy, runs.store, runs.workflows),
        )


async def new_key(db: Connection, user_id: int) -> UUID:
    statement = """
        INSERT INTO api_keys (api_key_id, user_id, key_hash, prefix, name, scopes)
        VALUES (gen_random_uuid(), $1, gen_random_uuid()::text::bytea, 'amk_', 'key', '{execute}') RETURNING api_key_id"""
    return UUID(int=(await db.fetchval(statement, user_id)).int)


async def test_a_demoted_administrator_cannot_approve_a_step_of_a_restricted_agent(scenario: Scenario) -> None:
    run = await scenario.start(ROOT, ASKING)
    await scenario.db.execute("UPDATE users SET role = 'user' WHERE id = 3")
    decided = await scenario.service.decide(replace(ROOT, role=Role.USER), run.run_id, "a", Decision.APPROVED, "")
    assert (decided.state, decided.failed_task) == (RunState.FAILED, "a")
    assert decided.failure is not None
    assert (decided.failure.reason, decided.failure.details["rule"]) == ("POLICY_DENIED", "restricted_agent")
    (step,) = decided.steps
    assert step.state is StepState.FAILED
    assert step.approval is not None
    assert step.approval.decision is Decision.APPROVED


async def test_a_step_is_approved_if_its_user_may_still_call_the_agent(scenario: Scenario) -> None:
    run = await scenario.start(ROOT, ASKING)
    decided = await scenario.service.decide(ROOT, run.run_id, "a", Decision.APPROVED, "")
    assert decided.steps[0].state is StepState.READY


async def test_an_approval_by_another_user_does_not_lend_authority(scenario: Scenario) -> None:
    """An administrator approves a step of a user's run; what counts is whether the run's user may call the agent."""
    run = await scenario.start(ANN, ASKING)
    await scenario.db.execute("UPDATE users SET username = 'renamed' WHERE id = 1")
    decided = await scenario.service.decide(ROOT, run.run_id, "a", Decision.APPROVED, "")
    assert decided.state is RunState.FAILED
    await scenario.db.execute("UPDATE users SET username = 'workflows.user.1' WHERE id = 1")


async def test_a_run_whose_key_was_revoked_cannot_be_approved(scenario: Scenario) -> None:
    key = await new_key(scenario.db, ANN.user_id)
    run = await scenario.start(replace(ANN, api_key_id=key), ASKING)
    await scenario.db.execute("UPDATE api_keys SET revoked_at = now() WHERE api_key_id = $1", key)
    decided = await scenario.service.decide(ANN, run.run_id, "a", Decision.APPROVED, "")
    assert decided.failure is not None
    assert (decided.failure.reason, decided.failure.details["cause"]) == ("POLICY_DENIED", "api_key_revoked")


async def test_a_step_is_performed_with_the_current_role(scenario: Scenario) -> None:
    await scenario.start(ROOT, Task("a", AGENT_ID, "Do it."))
    await scenario.db.execute("UPDATE users SET role = 'user' WHERE id = 3")
    outcome, called = await scenario.performed(ROOT)
    assert outcome == Completed("done")
    assert [who.role for who in called] == [Role.USER]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ("UPDATE users SET disabled_at = now() WHERE id = 1", "user_disabled"),
        ("UPDATE api_keys SET revoked_at = now() WHERE user_id = 1", "api_key_revoked"),
        ("DELETE FROM users WHERE id = 1", "user_deleted"),
    ],
)
async def test_a_step_of_a_user_without_authority_fails_and_calls_no_agent(scenario: Scenario, change: str, cause: str) -> None:
    key = await new_key(scenario.db, ANN.user_id)
    await scenario.start(replace(ANN, api_key_id=key), Task("a", AGENT_ID, "Do it."))
    await scenario.db.execute(change)
    outcome, called = await scenario.performed(ANN)
    assert isinstance(outcome, AttemptFailed)
    assert (outcome.failure.reason, outcome.failure.details, outcome.failure.retryable) == ("POLICY_DENIED", {"cause": cause}, False)
    assert not called


@pytest.mark.parametrize("change", ["UPDATE users SET disabled_at = now() WHERE id = 1", "DELETE FROM users WHERE id = 1"])
async def test_the_runs_of_a_disabled_or_deleted_user_are_cancelled_with_a_receipt(scenario: Scenario, change: str) -> None:
    waiting = await scenario.start(ANN, ASKING)
    ready = await scenario.start(ANN, Task("a", AGENT_ID, "Do it."), Task("b", AGENT_ID, "Do more."))
    other = await scenario.start(ROOT, ASKING)
    await scenario.db.execute(change)
    for run in (waiting, ready):
        cancelled = await scenario.recovered(run)
        assert (cancelled.state, cancelled.failure) == (RunState.CANCELLED, None)
        assert cancelled.cancel_requested_at is not None
        assert {step.state for step in cancelled.steps} == {StepState.CANCELLED}
    assert (await scenario.recovered(other)).state is RunState.WAITING_APPROVAL
