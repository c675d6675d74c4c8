import { Select, Tabs } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";

import { analyticsService } from "@/api/services/analyticsService";
import { AGENT_STATS_ORDERS, BREAKDOWNS, type AnalyticsSearch } from "@/app/searchParams";
import { useAuth } from "@/auth/AuthContext";
import { CostGroup, StatsOrder, type AgentStats, type GroupCost, type ReasonCount } from "@gen/agentmesh/analytics/v1/analytics_pb";
import type { GetSummaryResponse } from "@gen/agentmesh/analytics/v1/analytics_service_pb";
import { duration, integer, money, NONE, percent, words } from "@/shared/format";
import { compactSearch } from "@/shared/search";
import { DataTable, ExportButton, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { completedShare, tokens } from "./figures";
import { bounds, timeZone, type Range } from "./range";
import classes from "./Analytics.module.css";

interface BreakdownProps {
  range: Range;
  search: AnalyticsSearch;
  change: (part: Partial<AnalyticsSearch>) => void;
  summary: GetSummaryResponse | undefined;
}

type By = (typeof BREAKDOWNS)[number];
type Group = Exclude<By, "agents" | "errors">;

const TITLES: Record<By, string> = {
  agents: "Agents",
  category: "Categories",
  model: "Models",
  key: "API keys",
  user: "Users",
  day: "Days",
  errors: "Errors",
};
const GROUPS: Record<Group, CostGroup> = {
  category: CostGroup.CATEGORY,
  model: CostGroup.MODEL,
  key: CostGroup.KEY,
  user: CostGroup.USER,
  day: CostGroup.DAY,
};
const ORDERS: Record<(typeof AGENT_STATS_ORDERS)[number], { order: StatsOrder; label: string }> = {
  calls: { order: StatsOrder.CALLS, label: "Most executions" },
  cost: { order: StatsOrder.COST, label: "Highest cost" },
  failures: { order: StatsOrder.FAILURES, label: "Most failures" },
  duration: { order: StatsOrder.MEAN_SECONDS, label: "Slowest" },
};
const NOTHING = <EmptyState title="Nothing was executed in this time">Choose a longer time, or run an agent.</EmptyState>;

/** The figures by agent, category, model, key, user, day or error. With one agent chosen, only its errors. */
export function Breakdown(props: BreakdownProps) {
  const { isAdmin } = useAuth();
  const { search, change } = props;
  const offered = BREAKDOWNS.filter((by) => (search.agent ? by === "errors" : by !== "user" || isAdmin));
  const by = search.by && offered.includes(search.by) ? search.by : (offered[0] ?? "agents");
  return (
    <Tabs value={by} onChange={(next) => change({ by: next === "agents" ? undefined : (next as By) })} keepMounted={false} mt="xl">
      <Tabs.List mb="sm">
        {offered.map((each) => (
          <Tabs.Tab key={each} value={each}>
            {TITLES[each]}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      <Tabs.Panel value={by}>
        {by === "agents" ? <Agents {...props} /> : by === "errors" ? <Errors {...props} /> : <Costs key={by} by={by} {...props} />}
      </Tabs.Panel>
    </Tabs>
  );
}

function Agents({ range, search, change }: BreakdownProps) {
  const order = search.order ?? "calls";
  const query = useInfiniteQuery({
    queryKey: ["analytics", "agents", range.from.getTime(), range.to.getTime(), search.user, order],
    queryFn: ({ pageParam, signal }) =>
      analyticsService.listAgentStats(
        { ...bounds(range), userId: Number(search.user) || 0, orderBy: ORDERS[order].order, pageSize: 50, pageToken: pageParam },
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.agents), [query.data]);
  const columns: readonly Column<AgentStats>[] = [
    {
      key: "agent",
      heading: "Agent",
      cell: ({ agentId, name }) => (
        <Link to="/analytics" search={compactSearch({ ...search, agent: agentId, by: undefined })} className="truncate">
          {name || agentId}
        </Link>
      ),
      csv: ({ agentId }) => agentId,
    },
    { key: "category", heading: "Category", cell: ({ category }) => <span className="dim">{words(category)}</span>, csv: ({ category }) => category, width: 190, secondary: true },
    ...figureColumns<AgentStats>(),
  ];
  if (query.error && !rows) return <ErrorPanel error={query.error} title="The agents' figures could not be loaded" retry={() => void query.refetch()} />;
  return (
    <>
      <div className={classes.bar}>
        <Select
          size="xs"
          w={180}
          aria-label="Order"
          allowDeselect={false}
          data={AGENT_STATS_ORDERS.map((value) => ({ value, label: ORDERS[value].label }))}
          value={order}
          onChange={(next) => change({ order: next === "calls" ? undefined : ((next ?? undefined) as AnalyticsSearch["order"]) })}
        />
        <span className={classes.spring} />
        <ExportButton label="Agents" columns={columns} rows={rows} />
      </div>
      <DataTable
        label="Figures by agent"
        columns={columns}
        rows={rows}
        rowKey={(row) => row.agentId}
        loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
        loadingMore={query.isFetchingNextPage}
        empty={NOTHING}
      />
    </>
  );
}

function Costs({ by, range, search }: BreakdownProps & { by: Group }) {
  const query = useInfiniteQuery({
    queryKey: ["analytics", "costs", by, range.from.getTime(), range.to.getTime(), search.user],
    queryFn: ({ pageParam, signal }) =>
      analyticsService.getCosts(
        { ...bounds(range), userId: Number(search.user) || 0, groupBy: GROUPS[by], timeZone: timeZone(), pageSize: 100, pageToken: pageParam },
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.costs), [query.data]);
  const columns: readonly Column<GroupCost>[] = [
    { key: "group", heading: TITLES[by].replace(/ies$/, "y").replace(/s$/, ""), cell: (row) => <GroupName by={by} row={row} search={search} />, csv: (row) => row.name || row.group },
    ...figureColumns<GroupCost>(),
  ];
  if (query.error && !rows) return <ErrorPanel error={query.error} title="The costs could not be loaded" retry={() => void query.refetch()} />;
  return (
    <>
      <div className={classes.bar}>
        <span className={classes.spring} />
        <ExportButton label={TITLES[by]} columns={columns} rows={rows} />
      </div>
      <DataTable
        label={`Figures by ${by}`}
        columns={columns}
        rows={rows}
        rowKey={(row) => row.group}
        loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
        loadingMore={query.isFetchingNextPage}
        empty={NOTHING}
      />
    </>
  );
}

function GroupName({ by, row: { group, name }, search }: { by: Group; row: GroupCost; search: AnalyticsSearch }) {
  if (by === "category") return words(group) || "No longer in the catalogue";
  if (by === "key") {
    if (!group) return <span className="dim">Without a key (logged in)</span>;
    return (
      <Link to="/executions" search={{ key: group }}>
        {name || group}
      </Link>
    );
  }
  if (by === "user") {
    return (
      <Link to="/analytics" search={compactSearch({ ...search, user: group, by: undefined })}>
        {name || `User ${group}`}
      </Link>
    );
  }
  if (by === "model" && group) {
    return (
      <Link to="/executions" search={{ model: group }}>
        {group}
      </Link>
    );
  }
  return name || group || NONE;
}

function Errors({ summary, search, range }: BreakdownProps) {
  const rows = summary?.errors;
  const all = Number(summary?.figures?.calls ?? 0n);
  const columns: readonly Column<ReasonCount>[] = [
    {
      key: "reason",
      heading: "Reason",
      cell: ({ reason }) => (
        <Link
          to="/executions"
          search={compactSearch({ reason, agent: search.agent, user: search.user, from: range.from.toISOString(), to: range.to.toISOString() })}
          className="mono"
        >
          {reason}
        </Link>
      ),
      csv: ({ reason }) => reason,
    },
    { key: "calls", heading: "Executions", cell: ({ calls }) => integer(calls), csv: ({ calls }) => calls, numeric: true, width: 120 },
    { key: "share", heading: "Of all", cell: ({ calls }) => (all ? percent(Number(calls) / all) : NONE), csv: ({ calls }) => (all ? Number(calls) / all : undefined), numeric: true, width: 110 },
  ];
  return (
    <>
      <div className={classes.bar}>
        <span className={classes.spring} />
        <ExportButton label="Errors" columns={columns} rows={rows} />
      </div>
      <DataTable label="Errors by reason" columns={columns} rows={rows} rowKey={(row) => row.reason} placeholderRows={3} empty={<EmptyState title="Nothing failed in this time" />} />
    </>
  );
}

function figureColumns<Row extends Pick<GroupCost, "figures">>(): readonly Column<Row>[] {
  return [
    { key: "calls", heading: "Executions", cell: ({ figures }) => integer(figures?.calls ?? 0), csv: ({ figures }) => figures?.calls, numeric: true, width: 110 },
    {
      key: "completed",
      heading: "Completed",
      cell: ({ figures }) => {
        const share = figures && completedShare(figures);
        return share === undefined ? NONE : percent(share);
      },
      csv: ({ figures }) => figures && completedShare(figures),
      numeric: true,
      width: 110,
      secondary: true,
    },
    {
      key: "mean",
      heading: "Mean duration",
      cell: ({ figures }) => (figures?.completed ? duration(figures.meanSeconds) : NONE),
      csv: ({ figures }) => (figures?.completed ? figures.meanSeconds : undefined),
      numeric: true,
      width: 130,
      secondary: true,
    },
    { key: "tokens", heading: "Tokens", cell: ({ figures }) => integer(figures ? tokens(figures) : 0), csv: ({ figures }) => (figures ? tokens(figures) : 0), numeric: true, width: 120, secondary: true },
    { key: "cost", heading: "Cost", cell: ({ figures }) => money(figures?.costMicroUsd ?? 0), csv: ({ figures }) => Number(figures?.costMicroUsd ?? 0) / 1e6, numeric: true, width: 110 },
  ];
}
