import type { Run } from "@gen/agentmesh/workflow/v1/workflow_pb";

/** What the steps have cost so far, in millionths of a dollar. */
export function costOf(run: Run): bigint {
  return run.steps.reduce((sum, { usage }) => sum + (usage?.costMicroUsd ?? 0n), 0n);
}
