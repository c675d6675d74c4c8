import type { dashboard, RUN_STATES } from "@/app/searchParams";
import { RunStatus, WorkflowStatus } from "@gen/agentmesh/workflow/v1/workflow_pb";

export type DashboardSearch = ReturnType<typeof dashboard>;
export type State = (typeof RUN_STATES)[number];

export interface TabProps {
  search: DashboardSearch;
  change: (part: Partial<DashboardSearch>) => void;
}

export const RUN_STATE: Record<State, RunStatus> = {
  pending: RunStatus.PENDING,
  running: RunStatus.RUNNING,
  waiting_approval: RunStatus.WAITING_APPROVAL,
  cancelling: RunStatus.CANCELLING,
  completed: RunStatus.COMPLETED,
  failed: RunStatus.FAILED,
  cancelled: RunStatus.CANCELLED,
};

export const WORKFLOW_STATE: Record<State, WorkflowStatus> = {
  pending: WorkflowStatus.PENDING,
  running: WorkflowStatus.RUNNING,
  waiting_approval: WorkflowStatus.WAITING_APPROVAL,
  cancelling: WorkflowStatus.CANCELLING,
  completed: WorkflowStatus.COMPLETED,
  failed: WorkflowStatus.FAILED,
  cancelled: WorkflowStatus.CANCELLED,
};
