import { Link } from "@tanstack/react-router";

import type { Execution } from "@gen/agentmesh/execution/v1/execution_pb";
import { compact, dateOf, duration, money, NONE, secondsBetween } from "@/shared/format";
import type { Column } from "@/shared/ui/DataTable";
import { EXECUTION_STATUS, StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";

/** All input tokens, whatever they were billed as. */
export function inputTokens({ usage }: Execution): number {
  return usage ? usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens : 0;
}

function tokens(execution: Execution): string {
  const { usage } = execution;
  return usage ? `${compact(inputTokens(execution))} → ${compact(usage.outputTokens)}` : NONE;
}

function took({ createdAt, finishedAt }: Execution): string {
  const seconds = secondsBetween(createdAt, finishedAt);
  return seconds === undefined ? NONE : duration(seconds);
}

export const COLUMNS: readonly Column<Execution>[] = [
  {
    key: "agent",
    heading: "Agent",
    cell: (execution) => (
      <Link to="/executions/$executionId" params={{ executionId: execution.executionId }} className="truncate">
        {execution.agentName || execution.agentId}
      </Link>
    ),
    csv: (execution) => execution.agentId,
  },
  {
    key: "status",
    heading: "Status",
    cell: (execution) => <StatusBadge {...EXECUTION_STATUS[execution.status]} />,
    csv: (execution) => EXECUTION_STATUS[execution.status].label,
    width: 150,
  },
  {
    key: "reason",
    heading: "Reason",
    cell: ({ failure }) => <span className="mono dim">{failure?.code ?? ""}</span>,
    csv: ({ failure }) => failure?.code,
    width: 190,
    secondary: true,
  },
  {
    key: "model",
    heading: "Model",
    cell: ({ usage, facts }) => <span className="dim">{usage?.model || facts?.model || NONE}</span>,
    csv: ({ usage }) => usage?.model,
    width: 170,
    secondary: true,
  },
  { key: "took", heading: "Duration", cell: took, csv: (each) => secondsBetween(each.createdAt, each.finishedAt), numeric: true, width: 90, secondary: true },
  { key: "tokens", heading: "Tokens in → out", cell: tokens, numeric: true, width: 130, secondary: true },
  {
    key: "cost",
    heading: "Cost",
    cell: ({ usage }) => (usage ? money(usage.costMicroUsd) : NONE),
    csv: ({ usage }) => (usage ? Number(usage.costMicroUsd) / 1e6 : undefined),
    numeric: true,
    width: 90,
  },
  {
    key: "when",
    heading: "Started",
    cell: ({ createdAt }) => <Time at={createdAt} />,
    csv: ({ createdAt }) => dateOf(createdAt),
    numeric: true,
    width: 110,
  },
];

/** Columns that only the export has. */
export const EXPORTED: readonly Column<Execution>[] = [
  { key: "id", heading: "Execution", cell: () => null, csv: (each) => each.executionId },
  ...COLUMNS,
  { key: "in", heading: "Input tokens", cell: () => null, csv: inputTokens },
  { key: "out", heading: "Output tokens", cell: () => null, csv: ({ usage }) => usage?.outputTokens },
  { key: "request", heading: "Request", cell: () => null, csv: (each) => each.requestId },
];
