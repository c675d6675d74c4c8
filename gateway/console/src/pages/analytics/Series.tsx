import { Button, SegmentedControl, Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { IconChartLine, IconTable } from "@tabler/icons-react";
import { useMemo } from "react";

import { analyticsService } from "@/api/services/analyticsService";
import { METRICS, type AnalyticsSearch } from "@/app/searchParams";
import { Interval, type Point } from "@gen/agentmesh/analytics/v1/analytics_pb";
import { dateOf, dayAndTime, duration, integer, money, NONE } from "@/shared/format";
import { compactSearch } from "@/shared/search";
import { DataTable, ExportButton, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { LinkButton } from "@/shared/ui/LinkButton";
import { Chart, type Line } from "./Chart";
import { LINES, METRIC_NAMES, SHOW, tokens } from "./figures";
import { bounds, intervalOf, previous, timeZone, type Range } from "./range";
import classes from "./Analytics.module.css";

interface SeriesProps {
  range: Range;
  search: AnalyticsSearch;
  change: (part: Partial<AnalyticsSearch>) => void;
}

const EVERY: Record<Interval, string> = {
  [Interval.UNSPECIFIED]: "day",
  [Interval.QUARTER_HOUR]: "15 minutes",
  [Interval.HOUR]: "hour",
  [Interval.DAY]: "day",
  [Interval.WEEK]: "week",
  [Interval.MONTH]: "month",
};

/** The figures over time, as a chart or as a table. A point leads to its executions. */
export function Series({ range, search, change }: SeriesProps) {
  const navigate = useNavigate();
  const metric = search.metric ?? "calls";
  const interval = intervalOf(range);
  const now = useSeries(range, search, interval);
  const before = useSeries(previous(range), search, interval);
  const points = now.data?.points;
  const drawn = useMemo(() => draw(metric, points ?? [], before.data?.points ?? []), [metric, points, before.data]);
  const executionsOf = ({ startTime, endTime }: Point) =>
    compactSearch({ agent: search.agent, user: search.user, from: dateOf(startTime)?.toISOString(), to: dateOf(endTime)?.toISOString() });
  const table = search.view === "table";
  const columns: readonly Column<Point>[] = [
    ...COLUMNS,
    {
      key: "executions",
      heading: "",
      cell: (point) => (
        <LinkButton to="/executions" search={executionsOf(point)} size="compact-xs" variant="subtle">
          Show
        </LinkButton>
      ),
      numeric: true,
      width: 80,
    },
  ];
  return (
    <section className={classes.card} aria-label="Over time">
      <div className={classes.bar}>
        <SegmentedControl
          size="xs"
          aria-label="Figure"
          value={metric}
          data={METRICS.map((value) => ({ value, label: METRIC_NAMES[value] }))}
          onChange={(next) => change({ metric: next === "calls" ? undefined : (next as AnalyticsSearch["metric"]) })}
        />
        <span className={classes.every}>per {EVERY[interval]}</span>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={table ? <IconChartLine size={14} /> : <IconTable size={14} />}
          onClick={() => change({ view: table ? undefined : "table" })}
        >
          {table ? "Chart" : "Table"}
        </Button>
        <ExportButton label="Over time" columns={columns} rows={points} />
      </div>
      {now.error ? (
        <ErrorPanel error={now.error} title="The figures over time could not be loaded" retry={() => void now.refetch()} />
      ) : !points ? (
        <Skeleton height={290} />
      ) : table ? (
        <DataTable
          label="Figures over time"
          columns={columns}
          rows={points.toReversed()}
          rowKey={(point) => String(point.startTime?.seconds)}
          empty={<EmptyState title="Nothing was executed in this time" />}
        />
      ) : (
        <Chart
          label={`${METRIC_NAMES[metric]} per ${EVERY[interval]}; choose Table to read the figures`}
          times={drawn.times}
          lines={drawn.lines}
          show={SHOW[metric]}
          whole={metric === "calls" || metric === "tokens"}
          pick={(index) => {
            const point = points[index];
            if (point) void navigate({ to: "/executions", search: executionsOf(point) });
          }}
        />
      )}
    </section>
  );
}

function useSeries(range: Range, { agent, user }: AnalyticsSearch, interval: Interval) {
  return useQuery({
    queryKey: ["analytics", "series", range.from.getTime(), range.to.getTime(), interval, agent, user],
    queryFn: ({ signal }) =>
      analyticsService.getTimeseries(
        { ...bounds(range), agentId: agent ?? "", userId: Number(user) || 0, interval, timeZone: timeZone() },
        signal,
      ),
  });
}

/** The lines of the metric, and its first line in the period before, point by point. */
function draw(metric: AnalyticsSearch["metric"] & string, points: readonly Point[], before: readonly Point[]): { times: number[]; lines: Line[] } {
  const times = points.map((point) => Number(point.startTime?.seconds ?? 0n));
  const [first, ...others] = LINES[metric];
  const lines: Line[] = [];
  for (const { label, colour, of } of first ? [first, ...others] : []) lines.push({ label, colour, values: points.map(of) });
  if (first && before.length > 0) {
    lines.push({
      label: `${first.label}, period before`,
      colour: "--ink-faint",
      past: true,
      values: points.map((_, index) => (before[index] ? first.of(before[index]) : null)),
    });
  }
  return { times, lines };
}

const COLUMNS: readonly Column<Point>[] = [
  {
    key: "from",
    heading: "From",
    cell: ({ startTime }) => {
      const at = dateOf(startTime);
      return at ? dayAndTime(at) : NONE;
    },
    csv: ({ startTime }) => dateOf(startTime),
    width: 140,
  },
  { key: "calls", heading: "Executions", cell: ({ figures }) => integer(figures?.calls ?? 0), csv: ({ figures }) => figures?.calls, numeric: true },
  { key: "failed", heading: "Failed", cell: ({ figures }) => integer(figures?.failed ?? 0), csv: ({ figures }) => figures?.failed, numeric: true },
  {
    key: "median",
    heading: "Median duration",
    cell: ({ figures, seconds }) => (figures?.completed && seconds ? duration(seconds.p50) : NONE),
    csv: ({ figures, seconds }) => (figures?.completed ? seconds?.p50 : undefined),
    numeric: true,
    secondary: true,
  },
  {
    key: "p95",
    heading: "95th percentile",
    cell: ({ figures, seconds }) => (figures?.completed && seconds ? duration(seconds.p95) : NONE),
    csv: ({ figures, seconds }) => (figures?.completed ? seconds?.p95 : undefined),
    numeric: true,
    secondary: true,
  },
  { key: "tokens", heading: "Tokens", cell: ({ figures }) => integer(figures ? tokens(figures) : 0), csv: ({ figures }) => (figures ? tokens(figures) : 0), numeric: true, secondary: true },
  { key: "cost", heading: "Cost", cell: ({ figures }) => money(figures?.costMicroUsd ?? 0), csv: ({ figures }) => Number(figures?.costMicroUsd ?? 0) / 1e6, numeric: true },
];
