import { SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import { analyticsService } from "@/api/services/analyticsService";
import { RANGES, type AnalyticsSearch } from "@/app/searchParams";
import { useAuth } from "@/auth/AuthContext";
import { dateOf, dayAndTime } from "@/shared/format";
import { compactSearch } from "@/shared/search";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { AgentFilterChip, FilterChip } from "@/shared/ui/FilterChip";
import { LinkButton } from "@/shared/ui/LinkButton";
import { Page } from "@/shared/ui/Page";
import { Time } from "@/shared/ui/Time";
import { Breakdown } from "./Breakdown";
import { bounds, rangeOf, timeZone } from "./range";
import { Series } from "./Series";
import { Summary } from "./Summary";
import classes from "./Analytics.module.css";

const route = getRouteApi("/app/analytics");

const RANGE_NAMES: Record<(typeof RANGES)[number], string> = {
  "24h": "24 hours",
  "7d": "7 days",
  "30d": "30 days",
  "90d": "90 days",
  "365d": "1 year",
};

export function AnalyticsPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { isAdmin } = useAuth();
  const change = (part: Partial<AnalyticsSearch>) => void navigate({ search: (old) => compactSearch({ ...old, ...part }), replace: true });
  // Fixed until the filters change, so that all parts of the page show the same time.
  const [now, setNow] = useState(() => new Date());
  const range = useMemo(() => rangeOf(search, now), [search.range, search.from, search.to, now]);
  const own = search.from !== undefined;
  const summary = useQuery({
    queryKey: ["analytics", "summary", range.from.getTime(), range.to.getTime(), search.agent, search.user],
    queryFn: ({ signal }) =>
      analyticsService.getSummary({ ...bounds(range), agentId: search.agent ?? "", userId: Number(search.user) || 0 }, signal),
  });
  const until = dateOf(summary.data?.countedUntil);
  return (
    <Page
      title="Analytics"
      subtitle={
        <>
          {isAdmin && !search.user ? "Executions of all users" : search.user ? `Executions of user ${search.user}` : "Your executions"}; days in{" "}
          {timeZone()}
          {until && (
            <>
              ; figures as of <Time at={until} />
            </>
          )}
        </>
      }
      actions={
        <SegmentedControl
          size="xs"
          aria-label="Time"
          value={own ? "" : (search.range ?? "7d")}
          data={RANGES.map((value) => ({ value, label: RANGE_NAMES[value] }))}
          onChange={(next) => {
            setNow(new Date());
            change({ range: next === "7d" ? undefined : (next as AnalyticsSearch["range"]), from: undefined, to: undefined });
          }}
        />
      }
    >
      <div className={classes.filters}>
        {own && (
          <FilterChip
            label={`${dayAndTime(range.from)} to ${dayAndTime(range.to)}`}
            clear={() => change({ from: undefined, to: undefined })}
          />
        )}
        {search.agent && (
          <>
            <AgentFilterChip agentId={search.agent} clear={() => change({ agent: undefined, by: undefined })} />
            <LinkButton to="/agents/$agentId" params={{ agentId: search.agent }} size="compact-sm" variant="subtle">
              Open the agent
            </LinkButton>
          </>
        )}
        {search.user && <FilterChip label={`User ${search.user}`} clear={() => change({ user: undefined })} />}
      </div>
      {summary.error ? (
        <ErrorPanel error={summary.error} title="The figures could not be loaded" retry={() => void summary.refetch()} />
      ) : (
        <Summary summary={summary.data} />
      )}
      <Series range={range} search={search} change={change} />
      <Breakdown range={range} search={search} change={change} summary={summary.data} />
    </Page>
  );
}
