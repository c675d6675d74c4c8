import { Button, Select } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { IconPlayerPlay } from "@tabler/icons-react";
import { useMemo } from "react";

import { workflowService } from "@/api/services/workflowService";
import { RUN_STATES } from "@/app/searchParams";
import { RunStatus } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { RUN_COLUMNS } from "@/shared/runs/columns";
import { DataTable, ExportButton } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { AgentFilterChip } from "@/shared/ui/FilterChip";
import { LinkButton } from "@/shared/ui/LinkButton";
import { RUN_STATUS } from "@/shared/ui/StatusBadge";
import { RUN_STATE, type State, type TabProps } from "./filters";
import classes from "./Dashboard.module.css";

export function RunsTab({ search, change }: TabProps) {
  const navigate = useNavigate();
  const { status, agent } = search;
  const query = useInfiniteQuery({
    queryKey: ["runs", "list", status, agent],
    queryFn: ({ pageParam, signal }) =>
      workflowService.listRuns(
        { status: status ? RUN_STATE[status] : RunStatus.UNSPECIFIED, agentId: agent ?? "", pageSize: 50, pageToken: pageParam },
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.runs), [query.data]);
  return (
    <>
      <div className={classes.filters}>
        <Select
          size="xs"
          w={180}
          aria-label="State"
          placeholder="Any state"
          clearable
          data={RUN_STATES.map((value) => ({ value, label: RUN_STATUS[RUN_STATE[value]].label }))}
          value={status ?? null}
          onChange={(next) => change({ status: (next as State | null) ?? undefined })}
        />
        {agent && <AgentFilterChip agentId={agent} clear={() => change({ agent: undefined })} />}
        <span className={classes.spring} />
        <ExportButton label="Runs" columns={RUN_COLUMNS} rows={rows} />
      </div>
      {query.error && !rows ? (
        <ErrorPanel error={query.error} title="The runs could not be loaded" retry={() => void query.refetch()} />
      ) : (
        <DataTable
          label="Runs"
          columns={RUN_COLUMNS}
          rows={rows}
          rowKey={(run) => run.runId}
          onRowClick={({ runId }) => void navigate({ to: "/runs/$runId", params: { runId } })}
          loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
          loadingMore={query.isFetchingNextPage}
          empty={
            status || agent ? (
              <EmptyState icon={<IconPlayerPlay size={26} />} title="No run matches these filters">
                <Button size="compact-sm" variant="default" onClick={() => change({ status: undefined, agent: undefined })}>
                  Remove the filters
                </Button>
              </EmptyState>
            ) : (
              <EmptyState icon={<IconPlayerPlay size={26} />} title="Nothing has been run yet">
                Runs of workflows and background executions of agents appear here, and survive any restart.
                <LinkButton size="compact-sm" to="/marketplace">
                  Find an agent
                </LinkButton>
              </EmptyState>
            )
          }
        />
      )}
    </>
  );
}
