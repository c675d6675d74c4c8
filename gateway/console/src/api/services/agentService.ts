import { createClient } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";

import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { ExecutionService, type EstimateExecutionRequestSchema, type EstimateExecutionResponse } from "@gen/agentmesh/execution/v1/execution_service_pb";
import type { AgentHealth, Category } from "@gen/agentmesh/registry/v1/registry_pb";
import {
  RegistryService,
  type ListAgentsRequestSchema,
  type ListAgentsResponse,
  type RecommendAgentsRequestSchema,
  type RecommendAgentsResponse,
} from "@gen/agentmesh/registry/v1/registry_service_pb";
import { StartAgentRequestSchema } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { WorkflowService } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import type { Run } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { required } from "../required";
import { transport } from "../transport";

const registry = createClient(RegistryService, transport);
const executions = createClient(ExecutionService, transport);
const workflows = createClient(WorkflowService, transport);

/** Finds agents and runs them. */
export const agentService = {
  listAgents: (request: MessageInitShape<typeof ListAgentsRequestSchema>, signal?: AbortSignal): Promise<ListAgentsResponse> =>
    registry.listAgents(request, { signal }),

  getAgent: async (agentId: string, signal?: AbortSignal): Promise<Agent> =>
    required((await registry.getAgent({ agentId }, { signal })).agent, "GetAgent answered no agent"),

  listCategories: async (signal?: AbortSignal): Promise<Category[]> => (await registry.listCategories({}, { signal })).categories,

  recommendAgents: (
    request: MessageInitShape<typeof RecommendAgentsRequestSchema>,
    signal?: AbortSignal,
  ): Promise<RecommendAgentsResponse> => registry.recommendAgents(request, { signal }),

  getAgentHealth: async (agentId: string, signal?: AbortSignal): Promise<AgentHealth> =>
    required((await registry.checkAgentHealth({ agentId }, { signal })).health, "CheckAgentHealth answered no health"),

  estimate: (
    request: MessageInitShape<typeof EstimateExecutionRequestSchema>,
    signal?: AbortSignal,
  ): Promise<EstimateExecutionResponse> => executions.estimateExecution(request, { signal }),

  /** Starts a background execution: a run with the one step `agent`, which continues whatever happens to this browser. */
  executeAgent: async (request: MessageInitShape<typeof StartAgentRequestSchema>): Promise<Run> =>
    required((await workflows.startAgent(request)).run, "StartAgent answered no run"),
};

/** The only step of a background execution. */
export const AGENT_STEP = "agent";
