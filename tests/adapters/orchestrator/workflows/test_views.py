"""How much of a run a response contains: views, single steps, lists, and responses of commands."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from agentmesh.workflow.v1 import workflow_pb2, workflow_service_pb2

from mesh.errors import AnswerTooLarge, ValidationFailed
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.executions.model import Excerpt, StepRef
from orchestrator.workflows import convert
from orchestrator.workflows.assignment import Completed, Report
from orchestrator.workflows.errors import ResultsTooLarge, RunNotActive, RunNotFound, StepNotFound, WorkflowNotFound
from orchestrator.workflows.model import Approval, Decision, Run, RunQuery, RunState, Step, StepState, Task, View
from orchestrator.workflows.service import Draft
from tests.adapters.orchestrator.workflows.engine import workflow_of
from tests.adapters.orchestrator.workflows.following import AGENT_ID
from tests.adapters.orchestrator.workflows.test_workflow_service import ADMIN, ANN, BEN, Served, served
from tests.unit.orchestrator.making import keyed

__all__ = ["served"]
MIB = 1024 * 1024
LAST = Task("last", AGENT_ID, "Look at this: {{tasks.s0.result}}", {"tone": "dry"}, approval=Approval("Go?"))


async def run_with(served: Served, *results: str) -> Run:
    """A run whose steps have these results; its last step waits for approval."""
    tasks = [Task(f"s{number}", AGENT_ID, "Write.") for number in range(len(results))]
    last = LAST if tasks else replace(LAST, input="Look.")
    made = await served.create(ANN, Draft("Big", (*tasks, last)))
    run: Run = await served.execute(ANN, made.workflow_id)
    for result in results:
        (assignment,) = (await served.runs.steps.claim(1)).assignments
        await served.runs.steps.report(Report(assignment.lease_id, Completed(result), take_successor=False))
    return run


@pytest.mark.parametrize(("size", "shown"), [(MIB // 2, True), (MIB // 2 + 1, False)])
async def test_results_of_up_to_one_mebibyte_are_returned_by_default(served: Served, size: int, shown: bool) -> None:
    run = await run_with(served, "x" * size, "x" * (MIB // 2))
    found = await served.service.run(ANN, run.run_id)
    assert [bool(step.result) for step in found.steps] == [shown, shown, False]
    assert [step.result_bytes for step in found.steps] == [size, MIB // 2, 0]
    assert found.results_omitted is not shown
    workflow = await served.service.get(ANN, workflow_of(run))
    assert (len(workflow.results), workflow.results_omitted) == ((2, False) if shown else (0, True))


async def test_basic_omits_results_and_full_has_them(served: Served) -> None:
    run = await run_with(served, "é" * 10, "x" * 2 * MIB)
    basic, full = [await served.service.run(ANN, run.run_id, view) for view in (View.BASIC, View.FULL)]
    assert ([step.result for step in basic.steps], basic.results_omitted) == (["", "", ""], True)
    assert ([len(step.result) for step in full.steps], full.results_omitted) == ([10, 2 * MIB, 0], False)
    assert [step.result_bytes for step in basic.steps] == [20, 2 * MIB, 0]
    assert not (await served.service.get(ANN, workflow_of(run), View.BASIC)).results
    assert len((await served.service.get(ANN, workflow_of(run), View.FULL)).results) == 2


async def test_a_run_without_results_is_returned_completely(served: Served) -> None:
    run = await run_with(served)
    assert not (await served.service.run(ANN, run.run_id, View.BASIC)).results_omitted


async def test_a_run_too_large_for_a_response_is_refused_with_the_way_to_read_it(served: Served) -> None:
    run = await run_with(served, *(["x" * (3 * MIB)] * 2))
    for read in (served.service.run(ANN, run.run_id, View.FULL), served.service.get(ANN, workflow_of(run), View.FULL)):
        with pytest.raises(ResultsTooLarge, match="GetStep") as refused:
            await read
        assert refused.value.reason == "PAYLOAD_TOO_LARGE"
    details, sent, _ = await served.service.step(ANN, run.run_id, "s1")
    assert (len(details.step.result), sent) == (3 * MIB, "Write.")


async def test_a_large_result_of_a_step_is_read_in_pieces(served: Served) -> None:
    run = await run_with(served, "é" * (8 * MIB))
    with pytest.raises(AnswerTooLarge, match="result_offset and result_limit") as refused:
        await served.service.step(ANN, run.run_id, "s0")
    assert refused.value.details["result_bytes"] == str(16 * MIB)
    details, _, _ = await served.service.step(ANN, run.run_id, "s0", Excerpt(8 * MIB - 10, 500_000))
    assert (details.step.result, details.result_characters, details.step.result_bytes) == ("é" * 10, 8 * MIB, 16 * MIB)


async def test_the_input_of_a_step_after_a_large_result_is_not_shown(served: Served) -> None:
    """Its reference makes it longer than an input can be. Only as much of the result is read as shows that."""
    run = await run_with(served, "x" * (5 * MIB))
    details, sent, _ = await served.service.step(ANN, run.run_id, "last")
    assert (sent, len(details.results["s0"])) == ("", 200_001)


@pytest.mark.parametrize(("size", "shown"), [(MIB, MIB), (MIB + 1, 0), (16 * MIB, 0)])
async def test_a_watch_leaves_out_results_of_more_than_a_mebibyte(served: Served, size: int, shown: int) -> None:
    run = await run_with(served, "x" * size)
    steps = [change.subject for change in await served.runs.store.changes(run.run_id, 0, 100) if isinstance(change.subject, Step)]
    completed = next(step for step in steps if step.state is StepState.COMPLETED)
    assert (len(completed.result), completed.result_bytes) == (shown, size)


async def test_a_workflow_that_would_not_fit_into_an_answer_is_refused() -> None:
    tasks = [workflow_pb2.Task(id=f"t{number}", agent_id=AGENT_ID, input="x" * 190_000) for number in range(16)]
    assert (await convert.draft(workflow_service_pb2.CreateWorkflowRequest(name="x", tasks=tasks[:15]), "")).name == "x"
    with pytest.raises(ValidationFailed, match="must not exceed 3,000,000 bytes"):
        await convert.draft(workflow_service_pb2.CreateWorkflowRequest(name="x", tasks=tasks), "")


async def test_commands_on_a_large_run_are_committed_and_answered(served: Served) -> None:
    run = await run_with(served, *(["x" * (3 * MIB)] * 6))
    decided = await served.service.decide(ANN, run.run_id, "last", Decision.APPROVED, "")
    assert (decided.steps[-1].state, decided.results_omitted) == (StepState.READY, True)
    cancelled = await served.service.cancel(ANN, workflow_of(run))
    assert (cancelled.state, cancelled.results_omitted) == (RunState.CANCELLED, True)
    assert [step.result_bytes for step in cancelled.steps] == [*([3 * MIB] * 6), 0]
    assert not any(step.result for step in (*decided.steps, *cancelled.steps))


async def test_a_step_shows_its_resolved_input_and_its_attempts(served: Served, recorder: PostgresRecorder) -> None:
    run = await run_with(served, "an answer")
    step = StepRef(run.run_id, "last")
    intents = [keyed(f"{number}:{step.key}", user_id=ANN.user_id, step=step) for number in range(2)]
    for intent in intents:
        await recorder.record(intent)
    details, sent, attempts = await served.service.step(ANN, run.run_id, "last")
    assert (details.step.task_id, details.context) == ("last", {"tone": "dry"})
    assert sent == 'Look at this: <result task="s0">\nan answer\n</result>'
    assert [one.execution_id for one in attempts] == [intent.execution_id for intent in intents]


async def test_a_step_that_waits_for_others_has_no_resolved_input(served: Served) -> None:
    made = await served.create()
    run = await served.execute(ANN, made.workflow_id)
    assert (await served.service.step(ANN, run.run_id, "b"))[1] == ""


async def test_a_missing_run_or_step_is_reported_with_its_id(served: Served) -> None:
    run = await run_with(served)
    with pytest.raises(StepNotFound, match="no step 'nope'"):
        await served.service.step(ANN, run.run_id, "nope")
    for attempt in (served.service.step(BEN, run.run_id, "last"), served.service.cancel_run(BEN, run.run_id)):
        with pytest.raises(RunNotFound):
            await attempt
    with pytest.raises(RunNotFound):
        await served.service.cancel_run(ANN, uuid4())


async def test_a_run_is_cancelled_by_its_id_once(served: Served) -> None:
    run = await run_with(served)
    assert (await served.service.cancel_run(ANN, run.run_id)).state is RunState.CANCELLED
    with pytest.raises(RunNotActive) as over:
        await served.service.cancel_run(ANN, run.run_id)
    assert over.value.details == {"run_id": str(run.run_id), "status": "cancelled"}


async def test_runs_are_listed_across_workflows_and_filtered(served: Served) -> None:
    anns = [await run_with(served), await run_with(served, "done")]
    bens_workflow = await served.create(BEN)
    bens = await served.execute(BEN, bens_workflow.workflow_id)
    await served.service.cancel_run(ANN, anns[0].run_id)

    async def ids(query: RunQuery) -> Sequence[UUID]:
        return [run.run_id for run in (await served.service.runs(ADMIN, query)).runs]

    assert await ids(RunQuery(None, 50)) == [bens.run_id, anns[1].run_id, anns[0].run_id]
    assert await ids(RunQuery(ANN.user_id, 50)) == [anns[1].run_id, anns[0].run_id]
    assert await ids(RunQuery(ANN.user_id, 50, state=RunState.CANCELLED)) == [anns[0].run_id]
    assert await ids(RunQuery(None, 50, before=anns[1].run_id)) == [anns[0].run_id]
    assert await ids(RunQuery(None, 50, workflow_id=bens_workflow.workflow_id)) == [bens.run_id]
    assert await ids(RunQuery(None, 50, agent_id=AGENT_ID)) == [bens.run_id, anns[1].run_id, anns[0].run_id]
    assert await ids(RunQuery(None, 50, agent_id="no_such_agent_1_1")) == []
    with pytest.raises(WorkflowNotFound):
        await served.service.runs(ANN, RunQuery(ANN.user_id, 50, workflow_id=bens_workflow.workflow_id))
