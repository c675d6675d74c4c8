import { Button, Select } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { IconReceipt, IconX } from "@tabler/icons-react";
import { useMemo } from "react";

import { executionService } from "@/api/services/executionService";
import { EXECUTION_STATES, type ExecutionsSearch } from "@/app/searchParams";
import { ExecutionStatus } from "@gen/agentmesh/execution/v1/execution_pb";
import { useAgentName } from "@/shared/agentName";
import { compactSearch } from "@/shared/search";
import { DataTable, ExportButton } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { Page } from "@/shared/ui/Page";
import { EXECUTION_STATUS } from "@/shared/ui/StatusBadge";
import { COLUMNS, EXPORTED } from "./columns";
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
  const query = useInfiniteQuery({
    queryKey: ["executions", "list", status, agent],
    queryFn: ({ pageParam, signal }) =>
      executionService.listExecutions(
        { status: status ? STATES[status] : ExecutionStatus.UNSPECIFIED, agentId: agent ?? "", pageToken: pageParam, pageSize: 50 },
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.executions), [query.data]);
  const filtered = status !== undefined || agent !== undefined;
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
        {agent && <AgentFilter agentId={agent} clear={() => change({ agent: undefined })} />}
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
                <Button size="compact-sm" variant="default" onClick={() => change({ status: undefined, agent: undefined })}>
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

function AgentFilter({ agentId, clear }: { agentId: string; clear: () => void }) {
  const name = useAgentName(agentId);
  return (
    <Button size="compact-sm" variant="light" rightSection={<IconX size={13} />} onClick={clear} aria-label={`Remove the filter ${name}`}>
      {name}
    </Button>
  );
}
