import { Button, Select } from "@mantine/core";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { IconReceipt } from "@tabler/icons-react";
import { useEffect, useMemo } from "react";

import { executionService } from "@/api/services/executionService";
import { EXECUTION_STATES, type ExecutionsSearch } from "@/app/searchParams";
import { ExecutionStatus } from "@gen/agentmesh/execution/v1/execution_pb";
import { dayAndTime } from "@/shared/format";
import { compactSearch } from "@/shared/search";
import { DataTable, ExportButton } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { Page } from "@/shared/ui/Page";
import { EXECUTION_STATUS } from "@/shared/ui/StatusBadge";
import { COLUMNS, EXPORTED } from "./columns";
import { AgentFilterChip, FilterChip } from "@/shared/ui/FilterChip";
import { LinkButton } from "@/shared/ui/LinkButton";
import classes from "./Executions.module.css";

const route = getRouteApi("/app/executions");

const STATES: Record<(typeof EXECUTION_STATES)[number], ExecutionStatus> = {
  running: ExecutionStatus.RUNNING,
  completed: ExecutionStatus.COMPLETED,
  failed: ExecutionStatus.FAILED,
  cancelled: ExecutionStatus.CANCELLED,
  outcome_unknown: ExecutionStatus.OUTCOME_UNKNOWN,
};

export function ExecutionsPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const change = (part: Partial<ExecutionsSearch>) => void navigate({ search: (old) => compactSearch({ ...old, ...part }), replace: true });
  const { status, agent } = search;
  const filters = FILTERS.flatMap(({ of, label }) => (search[of] === undefined ? [] : [{ of, label: label(search[of]) }]));
  const query = useInfiniteQuery({
    queryKey: ["executions", "list", search],
    queryFn: ({ pageParam, signal }) => executionService.listExecutions({ ...requestOf(search), pageToken: pageParam, pageSize: 50 }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const loaded = useMemo(() => query.data?.pages.flatMap((page) => page.executions), [query.data]);
  // With rare matches a page may be empty although more follow: the search goes on until something is found, or everything was searched.
  const searching = loaded?.length === 0 && query.hasNextPage;
  const rows = searching ? undefined : loaded;
  const { fetchNextPage, isFetching, isError } = query;
  useEffect(() => {
    if (searching && !isFetching && !isError) void fetchNextPage();
  }, [searching, isFetching, isError, fetchNextPage]);
  const filtered = Object.keys(search).length > 0;
  return (
    <Page
      title="Executions"
      subtitle="Every call to an agent, with what it cost"
      actions={<ExportButton label="Executions" columns={EXPORTED} rows={rows} />}
    >
      <div className={classes.filters}>
        <Select
          size="xs"
          w={180}
          aria-label="Status"
          placeholder="Any status"
          clearable
          data={EXECUTION_STATES.map((state) => ({ value: state, label: EXECUTION_STATUS[STATES[state]].label }))}
          value={status ?? null}
          onChange={(next) => change({ status: (next ?? undefined) as ExecutionsSearch["status"] })}
        />
        {agent && <AgentFilterChip agentId={agent} clear={() => change({ agent: undefined })} />}
        {filters.map(({ of, label }) => (
          <FilterChip key={of} label={label} clear={() => change({ [of]: undefined })} />
        ))}
      </div>
      {query.error && !rows ? (
        <ErrorPanel error={query.error} title="The executions could not be loaded" retry={() => void query.refetch()} />
      ) : (
        <DataTable
          label="Executions"
          columns={COLUMNS}
          rows={rows}
          rowKey={(execution) => execution.executionId}
          onRowClick={({ executionId }) => void navigate({ to: "/executions/$executionId", params: { executionId } })}
          loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
          loadingMore={query.isFetchingNextPage}
          empty={
            filtered ? (
              <EmptyState icon={<IconReceipt size={26} />} title="No execution matches these filters">
                <Button size="compact-sm" variant="default" onClick={() => void navigate({ search: {}, replace: true })}>
                  Remove the filters
                </Button>
              </EmptyState>
            ) : (
              <EmptyState icon={<IconReceipt size={26} />} title="You have not called an agent yet">
                Each call is recorded here before it is made, with its answer and its cost.
                <LinkButton size="compact-sm" to="/marketplace">
                  Find an agent
                </LinkButton>
              </EmptyState>
            )
          }
        />
      )}
    </Page>
  );
}

/** The filters that other pages set and this one only removes. */
const FILTERS: readonly { of: Exclude<keyof ExecutionsSearch, "status" | "agent">; label: (value: string) => string }[] = [
  { of: "reason", label: (reason) => reason },
  { of: "model", label: (model) => model },
  { of: "key", label: (key) => `Key ${key.slice(0, 8)}…` },
  { of: "user", label: (user) => `User ${user}` },
  { of: "from", label: (from) => `From ${dayAndTime(new Date(from))}` },
  { of: "to", label: (to) => `Before ${dayAndTime(new Date(to))}` },
];

function requestOf({ status, agent, model, reason, key, user, from, to }: ExecutionsSearch) {
  return {
    status: status ? STATES[status] : ExecutionStatus.UNSPECIFIED,
    agentId: agent ?? "",
    model: model ?? "",
    reason: reason ?? "",
    apiKeyId: key ?? "",
    userId: Number(user) || 0,
    ...(from && { startTime: timestampFromDate(new Date(from)) }),
    ...(to && { endTime: timestampFromDate(new Date(to)) }),
  };
}
