import { Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { analyticsService } from "@/api/services/analyticsService";
import { useAuth } from "@/auth/AuthContext";
import { CostGroup, type GroupCost } from "@gen/agentmesh/analytics/v1/analytics_pb";
import { compact, duration, integer, money, NONE, percent } from "@/shared/format";
import { DataTable, ExportButton, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { LinkButton } from "@/shared/ui/LinkButton";
import { Facts, Section } from "@/shared/ui/Page";
import classes from "./Account.module.css";

/** What the user has used in the last 30 days, and through which key. */
export function UsageTab() {
  const { user } = useAuth();
  const userId = user?.userId ?? 0;
  const summary = useQuery({
    queryKey: ["analytics", "usage", userId],
    queryFn: ({ signal }) => analyticsService.getSummary({ userId }, signal),
    enabled: userId > 0,
  });
  const keys = useQuery({
    queryKey: ["analytics", "usage", "keys", userId],
    queryFn: ({ signal }) => analyticsService.getCosts({ userId, groupBy: CostGroup.KEY, pageSize: 200 }, signal),
    enabled: userId > 0,
  });
  const error = summary.error ?? keys.error;
  if (error) {
    const retry = () => void Promise.all([summary.refetch(), keys.refetch()]);
    return <ErrorPanel error={error} title="Your usage could not be loaded" retry={retry} />;
  }
  const figures = summary.data?.figures;
  return (
    <>
      <Section
        title="Last 30 days"
        aside={
          <LinkButton to="/analytics" size="compact-sm" variant="default">
            Open analytics
          </LinkButton>
        }
      >
        {summary.data ? (
          <div className={classes.figures}>
            <Facts
              items={[
                ["Cost", money(figures?.costMicroUsd ?? 0)],
                ["Executions", integer(figures?.calls ?? 0)],
                ["Completed", figures?.calls ? percent(Number(figures.completed) / Number(figures.calls)) : NONE],
                ["Input", `${compact(figures?.inputTokens ?? 0)} tokens`],
                ["Output", `${compact(figures?.outputTokens ?? 0)} tokens`],
                ["Mean duration", figures?.completed ? duration(figures.meanSeconds) : NONE],
              ]}
            />
          </div>
        ) : (
          <Skeleton height={150} maw={520} />
        )}
      </Section>
      <Section title="By API key" aside={<ExportButton label="Usage by key" columns={COLUMNS} rows={keys.data?.costs} />}>
        <DataTable
          label="Usage by API key"
          columns={COLUMNS}
          rows={keys.data?.costs}
          rowKey={(row) => row.group}
          placeholderRows={3}
          empty={<EmptyState title="Nothing was used in the last 30 days" />}
        />
      </Section>
    </>
  );
}

const COLUMNS: readonly Column<GroupCost>[] = [
  { key: "key", heading: "Key", cell: (row) => row.name || "Without a key (logged in)", csv: (row) => row.name || "without a key" },
  { key: "calls", heading: "Executions", cell: (row) => integer(row.figures?.calls ?? 0), csv: (row) => row.figures?.calls, numeric: true, width: 120 },
  {
    key: "tokens",
    heading: "Tokens in → out",
    cell: (row) => `${compact(row.figures?.inputTokens ?? 0)} → ${compact(row.figures?.outputTokens ?? 0)}`,
    numeric: true,
    width: 160,
    secondary: true,
  },
  {
    key: "cost",
    heading: "Cost",
    cell: (row) => money(row.figures?.costMicroUsd ?? 0),
    csv: (row) => Number(row.figures?.costMicroUsd ?? 0) / 1e6,
    numeric: true,
    width: 110,
  },
];
