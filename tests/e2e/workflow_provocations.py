"""Ways to provoke the rows of the error table that belong to workflows."""

from typing import Any

import grpc
from agentmesh.workflow.v1 import workflow_pb2
from agentmesh.workflow.v1 import workflow_service_pb2 as workflow
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from tests.e2e.platform import Platform, question
from tests.e2e.provocations import SECONDS, Responses, failure, provokes
from tests.e2e.workflows import Workflows, task

NOWHERE = "01900000-0000-7000-8000-000000000000"


async def _native(platform: Platform, rpc: str, request: Any) -> grpc.aio.AioRpcError:
    return await failure(getattr(WorkflowServiceStub(platform.gateway), rpc)(request, timeout=SECONDS))


@provokes("WORKFLOW_NOT_FOUND")
async def unknown_workflow(platform: Platform) -> Responses:
    rest = await platform.http.get(f"/api/v1/workflows/{NOWHERE}")
    return Responses(rest, await _native(platform, "GetWorkflow", workflow.GetWorkflowRequest(workflow_id=NOWHERE)))


@provokes("WORKFLOW_ALREADY_RUNNING")
async def workflow_that_is_running(platform: Platform) -> Responses:
    workflows, text = Workflows(platform), question()
    await platform.provider.fault("hang", text)
    workflow_id = (await workflows.create(task("slow", text)))["workflow_id"]
    run = await workflows.execute(workflow_id)
    request = workflow.ExecuteWorkflowRequest(workflow_id=workflow_id)
    rest = await workflows.try_("POST", f"workflows/{workflow_id}/execute", {})
    responses = Responses(rest, await _native(platform, "ExecuteWorkflow", request))
    await workflows.cancel(workflow_id)
    await workflows.ended(run["run_id"])
    return responses


@provokes("WORKFLOW_NOT_RUNNING")
async def workflow_that_is_not_running(platform: Platform) -> Responses:
    workflows = Workflows(platform)
    workflow_id = (await workflows.create(task("a")))["workflow_id"]
    rest = await workflows.try_("POST", f"workflows/{workflow_id}/cancel", {})
    return Responses(rest, await _native(platform, "CancelWorkflow", workflow.CancelWorkflowRequest(workflow_id=workflow_id)))


@provokes("RUN_NOT_FOUND")
async def unknown_run(platform: Platform) -> Responses:
    rest = await platform.http.get(f"/api/v1/runs/{NOWHERE}")
    return Responses(rest, await _native(platform, "GetRun", workflow.GetRunRequest(run_id=NOWHERE)))


@provokes("APPROVAL_NOT_PENDING")
async def step_without_an_approval(platform: Platform) -> Responses:
    workflows = Workflows(platform)
    run_id = (await workflows.completed(task("a")))["run_id"]
    rest = await workflows.try_("POST", f"runs/{run_id}/steps/a/decide", {"decision": "APPROVAL_DECISION_APPROVED"})
    request = workflow.DecideApprovalRequest(run_id=run_id, step_id="a", decision=workflow_pb2.APPROVAL_DECISION_REJECTED)
    return Responses(rest, await _native(platform, "DecideApproval", request))


@provokes("STEP_NOT_FOUND")
async def unknown_step(platform: Platform) -> Responses:
    run_id = (await Workflows(platform).completed(task("a")))["run_id"]
    rest = await platform.http.get(f"/api/v1/runs/{run_id}/steps/other")
    return Responses(rest, await _native(platform, "GetStep", workflow.GetStepRequest(run_id=run_id, step_id="other")))


@provokes("RUN_NOT_ACTIVE")
async def finished_run(platform: Platform) -> Responses:
    workflows = Workflows(platform)
    run_id = (await workflows.completed(task("a")))["run_id"]
    rest = await workflows.try_("POST", f"runs/{run_id}/cancel", {})
    return Responses(rest, await _native(platform, "CancelRun", workflow.CancelRunRequest(run_id=run_id)))
