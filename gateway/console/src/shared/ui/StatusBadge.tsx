import { ExecutionStatus } from "@gen/agentmesh/execution/v1/execution_pb";
import { RunStatus, StepStatus, WorkflowStatus } from "@gen/agentmesh/workflow/v1/workflow_pb";
import classes from "./StatusBadge.module.css";

export type Tone = "running" | "waiting" | "completed" | "failed" | "idle" | "unknown";

interface Look {
  label: string;
  tone: Tone;
}

const UNKNOWN: Look = { label: "Unknown", tone: "unknown" };

export const RUN_STATUS: Record<RunStatus, Look> = {
  [RunStatus.UNSPECIFIED]: UNKNOWN,
  [RunStatus.PENDING]: { label: "Pending", tone: "idle" },
  [RunStatus.RUNNING]: { label: "Running", tone: "running" },
  [RunStatus.WAITING_APPROVAL]: { label: "Needs approval", tone: "waiting" },
  [RunStatus.CANCELLING]: { label: "Cancelling", tone: "waiting" },
  [RunStatus.COMPLETED]: { label: "Completed", tone: "completed" },
  [RunStatus.FAILED]: { label: "Failed", tone: "failed" },
  [RunStatus.CANCELLED]: { label: "Cancelled", tone: "idle" },
};

/** A workflow's status is that of its latest run; before the first, it is PENDING. */
export const WORKFLOW_STATUS: Record<WorkflowStatus, Look> = {
  [WorkflowStatus.UNSPECIFIED]: UNKNOWN,
  [WorkflowStatus.PENDING]: { label: "Not run yet", tone: "idle" },
  [WorkflowStatus.RUNNING]: RUN_STATUS[RunStatus.RUNNING],
  [WorkflowStatus.WAITING_APPROVAL]: RUN_STATUS[RunStatus.WAITING_APPROVAL],
  [WorkflowStatus.CANCELLING]: RUN_STATUS[RunStatus.CANCELLING],
  [WorkflowStatus.COMPLETED]: RUN_STATUS[RunStatus.COMPLETED],
  [WorkflowStatus.FAILED]: RUN_STATUS[RunStatus.FAILED],
  [WorkflowStatus.CANCELLED]: RUN_STATUS[RunStatus.CANCELLED],
};

export const STEP_STATUS: Record<StepStatus, Look> = {
  [StepStatus.UNSPECIFIED]: UNKNOWN,
  [StepStatus.PENDING]: { label: "Waiting", tone: "idle" },
  [StepStatus.WAITING_APPROVAL]: { label: "Needs approval", tone: "waiting" },
  [StepStatus.READY]: { label: "Ready", tone: "idle" },
  [StepStatus.RUNNING]: { label: "Running", tone: "running" },
  [StepStatus.COMPLETED]: { label: "Completed", tone: "completed" },
  [StepStatus.FAILED]: { label: "Failed", tone: "failed" },
  [StepStatus.CANCELLED]: { label: "Cancelled", tone: "idle" },
};

export const EXECUTION_STATUS: Record<ExecutionStatus, Look> = {
  [ExecutionStatus.UNSPECIFIED]: UNKNOWN,
  [ExecutionStatus.RUNNING]: { label: "Running", tone: "running" },
  [ExecutionStatus.COMPLETED]: { label: "Completed", tone: "completed" },
  [ExecutionStatus.FAILED]: { label: "Failed", tone: "failed" },
  [ExecutionStatus.CANCELLED]: { label: "Cancelled", tone: "idle" },
  [ExecutionStatus.OUTCOME_UNKNOWN]: { label: "Outcome unknown", tone: "unknown" },
};

/** A state in words with its colour: never the colour alone. */
export function StatusBadge({ label, tone }: Look) {
  return (
    <span className={classes.badge} data-tone={tone}>
      <span className={classes.dot} aria-hidden />
      {label}
    </span>
  );
}
