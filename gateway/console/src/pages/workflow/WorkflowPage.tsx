import { Button, Skeleton } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { IconPlayerPlay, IconSitemap } from "@tabler/icons-react";
import { useMemo, useState } from "react";

import { isNotFound } from "@/api/errors";
import { workflowService } from "@/api/services/workflowService";
import { streamHub } from "@/api/streams";
import type { Workflow } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { agentInWords } from "@/shared/agentName";
import { randomId } from "@/shared/browser/ids";
import { download } from "@/shared/browser/download";
import { count } from "@/shared/format";
import { WorkflowGraph } from "@/shared/graph/WorkflowGraph";
import { RUN_COLUMNS } from "@/shared/runs/columns";
import { draftOf, toYaml } from "@/shared/workflow/document";
import { ConfirmButton } from "@/shared/ui/ConfirmButton";
import { DataTable } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel, NotFound } from "@/shared/ui/ErrorPanel";
import { LinkButton } from "@/shared/ui/LinkButton";
import { Page, Section } from "@/shared/ui/Page";
import { StatusBadge, WORKFLOW_STATUS } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import { TaskPanel } from "./TaskPanel";
import classes from "./Workflow.module.css";

const route = getRouteApi("/app/workflows/$workflowId");

export function WorkflowPage() {
  const { workflowId } = route.useParams();
  const { data, error, refetch } = useQuery({
    queryKey: ["workflow", workflowId],
    queryFn: ({ signal }) => workflowService.getWorkflow(workflowId, signal),
    staleTime: 30_000,
  });
  if (error && !data) {
    if (isNotFound(error)) return <NotFound what="This workflow" />;
    return (
      <Page title="Workflow">
        <ErrorPanel error={error} title="The workflow could not be loaded" retry={() => void refetch()} />
      </Page>
    );
  }
  return data ? <Loaded workflow={data} /> : <Loading />;
}

function Loaded({ workflow }: { workflow: Workflow }) {
  const { task: chosen } = route.useSearch();
  const navigate = route.useNavigate();
  const select = (task: string) => void navigate({ search: { task }, replace: true });
  const selected = workflow.tasks.find(({ id }) => id === chosen) ?? workflow.tasks[0];
  const nodes = useMemo(
    () => workflow.tasks.map((task) => ({ id: task.id, title: task.id, subtitle: agentInWords(task.agentId), note: task.approval ? "Asks first" : undefined, dependsOn: task.dependsOn })),
    [workflow.tasks],
  );
  return (
    <Page
      title={workflow.name}
      above={<Link to="/dashboard">Workflows</Link>}
      subtitle={
        <span className={classes.subtitle}>
          <StatusBadge {...WORKFLOW_STATUS[workflow.status]} /> {count(workflow.tasks.length, "task")}, created <Time at={workflow.createdAt} />
        </span>
      }
      actions={<Actions workflow={workflow} />}
    >
      <div className={classes.views}>
        <WorkflowGraph label="Tasks and what they depend on" nodes={nodes} selected={selected?.id} select={select} />
        {selected && <TaskPanel task={selected} />}
      </div>
      <Runs workflowId={workflow.workflowId} />
    </Page>
  );
}

function Actions({ workflow }: { workflow: Workflow }) {
  const queries = useQueryClient();
  const navigate = route.useNavigate();
  const [intent, setIntent] = useState(randomId);
  const run = useMutation({
    mutationFn: () => workflowService.executeWorkflow(workflow.workflowId, intent),
    onSuccess: (started) => {
      setIntent(randomId());
      streamHub().tellChanged("runs");
      void queries.invalidateQueries({ queryKey: ["runs"] });
      void navigate({ to: "/runs/$runId", params: { runId: started.runId } });
    },
  });
  const deletion = useMutation({
    mutationFn: () => workflowService.deleteWorkflow(workflow.workflowId),
    onSuccess: () => {
      streamHub().tellChanged("workflows");
      void queries.invalidateQueries({ queryKey: ["workflows"] });
      void navigate({ to: "/dashboard" });
    },
  });
  return (
    <>
      <ConfirmButton
        label="Delete"
        of={workflow.name}
        question={`Delete “${workflow.name}”?`}
        consequence="It can no longer be run. Its runs stay. A run in progress has to end or be cancelled first."
        command={deletion}
      />
      <Button
        size="compact-sm"
        variant="default"
        onClick={() => download(`${fileName(workflow.name)}.yaml`, toYaml(draftOf(workflow)), "application/yaml")}
      >
        Export
      </Button>
      <LinkButton to="/workflows/new" search={{ from: workflow.workflowId }} size="compact-sm" variant="default">
        Edit a copy
      </LinkButton>
      <Button size="compact-sm" leftSection={<IconPlayerPlay size={14} />} loading={run.isPending} onClick={() => run.mutate()}>
        Run
      </Button>
      {run.error && <ErrorPanel error={run.error} title="The workflow was not started" />}
    </>
  );
}

function Runs({ workflowId }: { workflowId: string }) {
  const navigate = route.useNavigate();
  const query = useInfiniteQuery({
    queryKey: ["runs", "of-workflow", workflowId],
    queryFn: ({ pageParam, signal }) => workflowService.listRuns({ workflowId, pageSize: 20, pageToken: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.runs), [query.data]);
  return (
    <Section title="Runs">
      {query.error && !rows ? (
        <ErrorPanel error={query.error} title="The runs could not be loaded" retry={() => void query.refetch()} />
      ) : (
        <DataTable
          label="Runs of the workflow"
          columns={RUN_COLUMNS}
          rows={rows}
          rowKey={(run) => run.runId}
          onRowClick={({ runId }) => void navigate({ to: "/runs/$runId", params: { runId } })}
          loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
          loadingMore={query.isFetchingNextPage}
          placeholderRows={3}
          empty={<EmptyState icon={<IconSitemap size={26} />} title="It has not been run yet" />}
        />
      )}
    </Section>
  );
}

function Loading() {
  return (
    <Page title="Workflow" above={<Link to="/dashboard">Workflows</Link>} subtitle={<Skeleton height={16} width={240} mt={4} />}>
      <div className={classes.views}>
        <Skeleton height={420} radius={10} />
        <Skeleton height={420} radius={10} />
      </div>
    </Page>
  );
}

function fileName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "") || "workflow";
}
