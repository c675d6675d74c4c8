import { Button, Select, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { IconSearch, IconSitemap } from "@tabler/icons-react";
import { useMemo } from "react";

import { workflowService } from "@/api/services/workflowService";
import { RUN_STATES } from "@/app/searchParams";
import { WorkflowStatus, type Workflow } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { dateOf, integer } from "@/shared/format";
import { DataTable, ExportButton, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { LinkButton } from "@/shared/ui/LinkButton";
import { StatusBadge, WORKFLOW_STATUS } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import { WORKFLOW_STATE, type State, type TabProps } from "./filters";
import classes from "./Dashboard.module.css";

/** How many workflows a search by name reads at most. */
const SEARCHED = 1_000;

export function WorkflowsTab({ search, change }: TabProps) {
  const navigate = useNavigate();
  const { q, status } = search;
  const query = useInfiniteQuery({
    queryKey: ["workflows", "list", status, q !== undefined],
    queryFn: ({ pageParam, signal }) =>
      workflowService.listWorkflows(
        { status: status ? WORKFLOW_STATE[status] : WorkflowStatus.UNSPECIFIED, pageSize: q ? 200 : 50, pageToken: pageParam },
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const loaded = useMemo(() => query.data?.pages.flatMap((page) => page.workflows), [query.data]);
  const rows = q ? loaded?.filter(({ name }) => name.toLowerCase().includes(q.toLowerCase())) : loaded;
  const more = query.hasNextPage && (!q || (loaded?.length ?? 0) < SEARCHED);
  return (
    <>
      <div className={classes.filters}>
        <TextInput
          size="xs"
          w={260}
          aria-label="Name"
          placeholder="Name contains…"
          leftSection={<IconSearch size={14} />}
          value={q ?? ""}
          onChange={(event) => change({ q: event.currentTarget.value || undefined })}
        />
        <Select
          size="xs"
          w={180}
          aria-label="State of the latest run"
          placeholder="Any state"
          clearable
          data={RUN_STATES.map((value) => ({ value, label: WORKFLOW_STATUS[WORKFLOW_STATE[value]].label }))}
          value={status ?? null}
          onChange={(next) => change({ status: (next as State | null) ?? undefined })}
        />
        <span className={classes.spring} />
        <ExportButton label="Workflows" columns={COLUMNS} rows={rows} />
      </div>
      {query.error && !rows ? (
        <ErrorPanel error={query.error} title="The workflows could not be loaded" retry={() => void query.refetch()} />
      ) : (
        <DataTable
          label="Workflows"
          columns={COLUMNS}
          rows={rows}
          rowKey={(workflow) => workflow.workflowId}
          onRowClick={({ workflowId }) => void navigate({ to: "/workflows/$workflowId", params: { workflowId } })}
          loadMore={more ? () => void query.fetchNextPage() : undefined}
          loadingMore={query.isFetchingNextPage}
          empty={
            q || status ? (
              <EmptyState icon={<IconSitemap size={26} />} title="No workflow matches these filters">
                <Button size="compact-sm" variant="default" onClick={() => change({ q: undefined, status: undefined })}>
                  Remove the filters
                </Button>
              </EmptyState>
            ) : (
              <EmptyState icon={<IconSitemap size={26} />} title="You have no workflows yet">
                A workflow lets several agents work on one job: each can use the answers of those before it.
                <LinkButton size="compact-sm" to="/workflows/new">
                  Build one
                </LinkButton>
              </EmptyState>
            )
          }
        />
      )}
    </>
  );
}

const COLUMNS: readonly Column<Workflow>[] = [
  {
    key: "name",
    heading: "Name",
    cell: ({ name, workflowId }) => (
      <Link to="/workflows/$workflowId" params={{ workflowId }} className="truncate">
        {name}
      </Link>
    ),
    csv: ({ name }) => name,
  },
  { key: "status", heading: "Latest run", cell: ({ status }) => <StatusBadge {...WORKFLOW_STATUS[status]} />, csv: ({ status }) => WORKFLOW_STATUS[status].label, width: 150 },
  { key: "tasks", heading: "Tasks", cell: ({ taskCount }) => integer(taskCount), csv: ({ taskCount }) => taskCount, numeric: true, width: 80, secondary: true },
  { key: "created", heading: "Created", cell: ({ createdAt }) => <Time at={createdAt} />, csv: ({ createdAt }) => dateOf(createdAt), numeric: true, width: 120 },
];
