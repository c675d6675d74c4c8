import { AccessScope } from "@gen/agentmesh/common/v1/access_pb";

/** What each scope allows, in words. */
export const SCOPES: Partial<Record<AccessScope, { label: string; description: string }>> = {
  [AccessScope.READ]: { label: "Read", description: "See agents, executions, workflows, runs and figures" },
  [AccessScope.EXECUTE]: { label: "Execute", description: "Call agents and start runs, which costs money" },
  [AccessScope.MANAGE]: { label: "Manage", description: "Create and delete workflows, keys and sessions" },
};
