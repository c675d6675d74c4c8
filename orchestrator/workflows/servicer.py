"""agentmesh.workflow.v1.WorkflowService."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
from agentmesh.workflow.v1 import workflow_service_pb2 as pb
from agentmesh.workflow.v1 import workflow_service_pb2_grpc

from mesh import correlation
from mesh.rpc.envelope import NO_CONTENT
from mesh.rpc.interceptors.behaviour import metadata_value
from mesh.rpc.interceptors.errors import TRANSCODED_KEY
from mesh.rpc.requests.idempotency import IDEMPOTENCY_KEY, idempotency_key
from mesh.security import caller
from orchestrator.executions.convert import excerpt
from orchestrator.workflows import convert
from orchestrator.workflows.background import BackgroundExecutions
from orchestrator.workflows.service import WorkflowService

Context = grpc.aio.ServicerContext[Any, Any]


class WorkflowServicer(workflow_service_pb2_grpc.WorkflowServiceServicer):
    def __init__(self, service: WorkflowService, background: BackgroundExecutions) -> None:
        self._service = service
        self._background = background

    async def CreateWorkflow(self, request: pb.CreateWorkflowRequest, context: Context) -> pb.CreateWorkflowResponse:
        draft = await convert.draft(request, _key(request, context))
        return pb.CreateWorkflowResponse(workflow=convert.workflow(await self._service.create(caller.current(), draft)))

    async def ListWorkflows(self, request: pb.ListWorkflowsRequest, context: Context) -> pb.ListWorkflowsResponse:
        return convert.workflow_page(await self._service.list(convert.query(request, caller.current().sees)))

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Context) -> pb.GetWorkflowResponse:
        workflow = await self._service.get(caller.current(), UUID(request.workflow_id), convert.view(request))
        return pb.GetWorkflowResponse(workflow=convert.workflow(workflow))

    async def DeleteWorkflow(self, request: pb.DeleteWorkflowRequest, context: Context) -> pb.DeleteWorkflowResponse:
        await self._service.delete(caller.current(), UUID(request.workflow_id))
        return pb.DeleteWorkflowResponse()

    async def ExecuteWorkflow(self, request: pb.ExecuteWorkflowRequest, context: Context) -> pb.ExecuteWorkflowResponse:
        run = await self._service.execute(caller.current(), UUID(request.workflow_id), correlation.current(), _key(request, context))
        return pb.ExecuteWorkflowResponse(run=convert.run(run))

    async def CancelWorkflow(self, request: pb.CancelWorkflowRequest, context: Context) -> pb.CancelWorkflowResponse:
        run = await self._service.cancel(caller.current(), UUID(request.workflow_id))
        return pb.CancelWorkflowResponse(run=convert.run(run))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        query = convert.run_query(request, caller.current().sees)
        return convert.run_page(await self._service.runs(caller.current(), query))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        run = await self._service.run(caller.current(), UUID(request.run_id), convert.view(request))
        return pb.GetRunResponse(run=convert.run(run))

    async def GetStep(self, request: pb.GetStepRequest, context: Context) -> pb.GetStepResponse:
        found = await self._service.step(caller.current(), UUID(request.run_id), request.step_id, excerpt(request))
        return convert.step_response(*found)

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        return pb.CancelRunResponse(run=convert.run(await self._service.cancel_run(caller.current(), UUID(request.run_id))))

    async def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> AsyncIterator[pb.WatchRunResponse]:
        run, changes = await self._service.watch(caller.current(), UUID(request.run_id), *convert.watch_position(request))
        if run.state.final and request.after_sequence >= run.sequence and metadata_value(context, TRANSCODED_KEY) is not None:
            context.set_trailing_metadata(NO_CONTENT)
            return
        async for change in changes:
            yield convert.watched(change, run.request_id)

    async def StartAgent(self, request: pb.StartAgentRequest, context: Context) -> pb.StartAgentResponse:
        work = await convert.agent_work(request, _key(request, context))
        return pb.StartAgentResponse(run=convert.run(await self._background.start(caller.current(), work, correlation.current())))

    async def ListApprovals(self, request: pb.ListApprovalsRequest, context: Context) -> pb.ListApprovalsResponse:
        return convert.approval_page(await self._service.approvals(convert.approval_query(request, caller.current())))

    async def DecideApproval(self, request: pb.DecideApprovalRequest, context: Context) -> pb.DecideApprovalResponse:
        run = await self._service.decide(caller.current(), UUID(request.run_id), request.step_id, convert.decision(request), request.reason)
        return pb.DecideApprovalResponse(run=convert.run(run))


def _key(request: pb.CreateWorkflowRequest | pb.ExecuteWorkflowRequest | pb.StartAgentRequest, context: Context) -> str:
    return idempotency_key(request.idempotency_key, metadata_value(context, IDEMPOTENCY_KEY))
