import { Link } from "@tanstack/react-router";

import { StepStatus, type Run } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { useAgentName } from "../agentName";
import { dateOf, duration, NONE, secondsBetween } from "../format";
import type { Column } from "../ui/DataTable";
import { RUN_STATUS, StatusBadge } from "../ui/StatusBadge";
import { Time } from "../ui/Time";

function took({ createdAt, finishedAt }: Run): number | undefined {
  return secondsBetween(createdAt, finishedAt);
}

/** The columns of every list of runs. */
export const RUN_COLUMNS: readonly Column<Run>[] = [
  { key: "run", heading: "Run", cell: (run) => <RunLink run={run} />, csv: (run) => run.runId },
  { key: "status", heading: "Status", cell: (run) => <StatusBadge {...RUN_STATUS[run.status]} />, csv: (run) => RUN_STATUS[run.status].label, width: 150 },
  {
    key: "steps",
    heading: "Steps done",
    cell: ({ steps }) => (steps.length > 0 ? `${steps.filter(({ status }) => status === StepStatus.COMPLETED).length} of ${steps.length}` : NONE),
    csv: ({ steps }) => steps.filter(({ status }) => status === StepStatus.COMPLETED).length,
    numeric: true,
    width: 110,
    secondary: true,
  },
  { key: "reason", heading: "Reason", cell: ({ failure }) => <span className="mono dim">{failure?.code ?? ""}</span>, csv: ({ failure }) => failure?.code, width: 200, secondary: true },
  {
    key: "took",
    heading: "Duration",
    cell: (run) => {
      const seconds = took(run);
      return seconds === undefined ? NONE : duration(seconds);
    },
    csv: took,
    numeric: true,
    width: 100,
    secondary: true,
  },
  { key: "when", heading: "Started", cell: ({ createdAt }) => <Time at={createdAt} />, csv: ({ createdAt }) => dateOf(createdAt), numeric: true, width: 120 },
];

function RunLink({ run }: { run: Run }) {
  const agent = useAgentName(run.workflowId ? "" : run.agentId);
  return (
    <Link to="/runs/$runId" params={{ runId: run.runId }} className="truncate">
      {run.workflowId ? `Run ${run.runId.slice(-8)}` : agent}
    </Link>
  );
}
