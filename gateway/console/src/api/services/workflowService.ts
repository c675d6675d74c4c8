import { createClient } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";

import { ApprovalDecision, View, type Run, type RunStatus, type Workflow, type WorkflowStatus } from "@gen/agentmesh/workflow/v1/workflow_pb";
import {
  WorkflowService,
  type CreateWorkflowRequestSchema,
  type GetStepResponse,
  type ListApprovalsResponse,
  type ListRunsResponse,
  type ListWorkflowsResponse,
  type WatchRunRequestSchema,
} from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { required } from "../required";
import { transport } from "../transport";

const client = createClient(WorkflowService, transport);

export interface PageRequest {
  pageSize?: number;
  pageToken?: string;
}

export interface RunFilter extends PageRequest {
  workflowId?: string;
  agentId?: string;
  status?: RunStatus;
}

/** Workflows, their runs, and the approvals that runs wait for. */
export const workflowService = {
  createWorkflow: async (request: MessageInitShape<typeof CreateWorkflowRequestSchema>): Promise<Workflow> =>
    required((await client.createWorkflow(request)).workflow, "CreateWorkflow answered no workflow"),

  listWorkflows: (filter: PageRequest & { status?: WorkflowStatus }, signal?: AbortSignal): Promise<ListWorkflowsResponse> =>
    client.listWorkflows(filter, { signal }),

  /** A workflow with its tasks, without the results of its latest run. */
  getWorkflow: async (workflowId: string, signal?: AbortSignal): Promise<Workflow> =>
    required((await client.getWorkflow({ workflowId, view: View.BASIC }, { signal })).workflow, "GetWorkflow answered no workflow"),

  deleteWorkflow: async (workflowId: string): Promise<void> => {
    await client.deleteWorkflow({ workflowId });
  },

  executeWorkflow: async (workflowId: string, idempotencyKey: string): Promise<Run> =>
    required((await client.executeWorkflow({ workflowId, idempotencyKey })).run, "ExecuteWorkflow answered no run"),

  listRuns: (filter: RunFilter, signal?: AbortSignal): Promise<ListRunsResponse> => client.listRuns(filter, { signal }),

  /** A run with its steps; with their results too, unless these have more than 1 MiB in total or `view` leaves them out. */
  getRun: async (runId: string, view: View = View.UNSPECIFIED, signal?: AbortSignal): Promise<Run> =>
    required((await client.getRun({ runId, view }, { signal })).run, "GetRun answered no run"),

  /** One step with its input, its attempts and a piece of its result. */
  getStep: (
    runId: string,
    stepId: string,
    piece: { resultOffset?: number; resultLimit?: number } = {},
    signal?: AbortSignal,
  ): Promise<GetStepResponse> => client.getStep({ runId, stepId, ...piece }, { signal }),

  cancelRun: async (runId: string): Promise<Run> =>
    required((await client.cancelRun({ runId })).run, "CancelRun answered no run"),

  /** One stream of a run's changes. Pages use `useRun`, which shares streams between tabs. */
  watchRun: (request: MessageInitShape<typeof WatchRunRequestSchema>, signal: AbortSignal) => client.watchRun(request, { signal }),

  listApprovals: (filter: PageRequest & { allUsers?: boolean }, signal?: AbortSignal): Promise<ListApprovalsResponse> =>
    client.listApprovals(filter, { signal }),

  decideApproval: async (runId: string, stepId: string, approved: boolean, reason: string): Promise<Run> => {
    const decision = approved ? ApprovalDecision.APPROVED : ApprovalDecision.REJECTED;
    return required((await client.decideApproval({ runId, stepId, decision, reason })).run, "DecideApproval answered no run");
  },
};
