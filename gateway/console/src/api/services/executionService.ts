import { createClient } from "@connectrpc/connect";

import type { ExecutionStatus } from "@gen/agentmesh/execution/v1/execution_pb";
import { ExecutionService, type GetExecutionResponse, type ListExecutionsResponse } from "@gen/agentmesh/execution/v1/execution_service_pb";
import { transport } from "../transport";
import type { PageRequest } from "./workflowService";

const client = createClient(ExecutionService, transport);

export interface ExecutionFilter extends PageRequest {
  agentId?: string;
  status?: ExecutionStatus;
}

/** The books: every call to an agent, with what it cost. */
export const executionService = {
  listExecutions: (filter: ExecutionFilter, signal?: AbortSignal): Promise<ListExecutionsResponse> =>
    client.listExecutions(filter, { signal }),

  /** One execution with a piece of its result, counted in characters. */
  getExecution: (
    executionId: string,
    piece: { resultOffset?: number; resultLimit?: number } = {},
    signal?: AbortSignal,
  ): Promise<GetExecutionResponse> => client.getExecution({ executionId, ...piece }, { signal }),
};
