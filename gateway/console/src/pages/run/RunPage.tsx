import { Button, Skeleton } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { IconPlayerPlay, IconWifiOff } from "@tabler/icons-react";
import { useMemo, useState } from "react";

import { isNotFound, problemOfFailure } from "@/api/errors";
import { workflowService } from "@/api/services/workflowService";
import { streamHub } from "@/api/streams";
import { isFinal } from "@/api/streams/runState";
import { runKey, useRun } from "@/api/streams/useRun";
import { RunStatus, View, type Run, type Workflow } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { agentInWords } from "@/shared/agentName";
import { randomId } from "@/shared/browser/ids";
import { money } from "@/shared/format";
import { WorkflowGraph } from "@/shared/graph/WorkflowGraph";
import { ConfirmButton } from "@/shared/ui/ConfirmButton";
import { CopyableId } from "@/shared/ui/CopyButton";
import { Elapsed } from "@/shared/ui/Elapsed";
import { ErrorPanel, NotFound, ProblemPanel } from "@/shared/ui/ErrorPanel";
import { LinkButton } from "@/shared/ui/LinkButton";
import { Page } from "@/shared/ui/Page";
import { RUN_STATUS, STEP_STATUS, StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import { costOf } from "./cost";
import { Receipt } from "./Receipt";
import { StepPanel } from "./StepPanel";
import { Timeline } from "./Timeline";
import classes from "./Run.module.css";

const route = getRouteApi("/app/runs/$runId");

export function RunPage() {
  const { runId } = route.useParams();
  // Results are read with the step that is selected: a run may hold many megabytes of them.
  const { query, delivery } = useRun(runId, View.BASIC);
  const { data, error } = query;
  const workflowId = data?.run.workflowId ?? "";
  const workflow = useQuery({
    queryKey: ["workflow", workflowId],
    queryFn: ({ signal }) => workflowService.getWorkflow(workflowId, signal),
    enabled: workflowId !== "",
    staleTime: Infinity,
  });
  if (error && !data) {
    if (isNotFound(error)) return <NotFound what="This run" />;
    return (
      <Page title="Run">
        <ErrorPanel error={error} title="The run could not be loaded" retry={() => void query.refetch()} />
      </Page>
    );
  }
  if (!data) return <Loading />;
  return <Loaded run={data.run} liveText={data.live} workflow={workflow.data} reconnecting={delivery === "reconnecting"} />;
}

interface LoadedProps {
  run: Run;
  liveText: { stepId: string; text: string } | undefined;
  workflow: Workflow | undefined;
  reconnecting: boolean;
}

function Loaded({ run, liveText, workflow, reconnecting }: LoadedProps) {
  const { step: chosen } = route.useSearch();
  const navigate = route.useNavigate();
  const select = (step: string) => void navigate({ search: (old) => ({ ...old, step }), replace: true });
  const selected = run.steps.find(({ taskId }) => taskId === chosen) ?? firstOfInterest(run);
  const nodes = useMemo(
    () =>
      run.steps.map((step) => ({
        id: step.taskId,
        title: step.taskId,
        subtitle: agentInWords(step.agentId),
        tone: STEP_STATUS[step.status].tone,
        note: STEP_STATUS[step.status].label,
        dependsOn: workflow?.tasks.find(({ id }) => id === step.taskId)?.dependsOn ?? [],
      })),
    [run.steps, workflow],
  );
  return (
    <Page
      title={workflow?.name ?? (run.workflowId ? "Run" : "Background execution")}
      above={
        <>
          <Link to="/dashboard" search={{ tab: "runs" }}>
            Runs
          </Link>
          {run.workflowId && (
            <>
              {" › "}
              <Link to="/workflows/$workflowId" params={{ workflowId: run.workflowId }}>
                {workflow?.name ?? "Workflow"}
              </Link>
            </>
          )}
        </>
      }
      subtitle={
        <span className={classes.subtitle}>
          <StatusBadge {...RUN_STATUS[run.status]} />
          <Elapsed run={run} />
          <span>{money(costOf(run))}</span>
          <span>
            started <Time at={run.createdAt} />
          </span>
          <CopyableId id={run.runId} what="the run id" />
          {reconnecting && (
            <span role="status" className={classes.reconnecting}>
              <IconWifiOff size={14} aria-hidden /> Connection lost. Changes appear when it is back.
            </span>
          )}
        </span>
      }
      actions={<Actions run={run} />}
    >
      {run.failure && (
        <ProblemPanel problem={problemOfFailure(run.failure)} title={run.failedStepId ? `The step ${run.failedStepId} failed` : "The run failed"}>
          {run.failedStepId && (
            <Button size="compact-sm" variant="default" onClick={() => select(run.failedStepId)}>
              Show the step
            </Button>
          )}
        </ProblemPanel>
      )}
      {run.cancellation && <Receipt run={run} cancellation={run.cancellation} />}
      <div className={classes.views}>
        <WorkflowGraph label="Steps and what they depend on" nodes={nodes} selected={selected?.taskId} select={select} height={380} />
        <Timeline run={run} selected={selected?.taskId} select={select} />
      </div>
      {selected && (
        <StepPanel
          key={selected.taskId}
          run={run}
          step={selected}
          task={workflow?.tasks.find(({ id }) => id === selected.taskId)}
          decided={() => select(selected.taskId)}
          liveText={liveText?.stepId === selected.taskId ? liveText.text : undefined}
        />
      )}
    </Page>
  );
}

/** The step that failed, else one that waits for a decision, else one that is running, else the last. */
function firstOfInterest(run: Run) {
  const order = (label: string) => ["failed", "waiting", "running"].indexOf(label);
  return (
    [...run.steps].filter(({ status }) => order(STEP_STATUS[status].tone) >= 0).sort((a, b) => order(STEP_STATUS[a.status].tone) - order(STEP_STATUS[b.status].tone))[0] ??
    run.steps.at(-1)
  );
}

function Actions({ run }: { run: Run }) {
  const queries = useQueryClient();
  const navigate = route.useNavigate();
  const [intent, setIntent] = useState(randomId);
  const cancel = useMutation({
    mutationFn: () => workflowService.cancelRun(run.runId),
    onSettled: () => void queries.invalidateQueries({ queryKey: runKey(run.runId) }),
  });
  const again = useMutation({
    mutationFn: () => workflowService.executeWorkflow(run.workflowId, intent),
    onSuccess: (next) => {
      setIntent(randomId());
      streamHub().tellChanged("runs");
      void queries.invalidateQueries({ queryKey: ["runs"] });
      void navigate({ to: "/runs/$runId", params: { runId: next.runId }, search: {} });
    },
  });
  return (
    <>
      {!isFinal(run) && (
        <ConfirmButton
          label={run.status === RunStatus.CANCELLING ? "Cancelling…" : "Cancel"}
          of="this run"
          question="Cancel this run?"
          consequence="Steps in progress are stopped, and no further step begins. What has been used until then is charged."
          command={cancel}
        />
      )}
      {run.workflowId && (
        <>
          <LinkButton to="/workflows/new" search={{ from: run.workflowId }} size="compact-sm" variant="default">
            Copy as new workflow
          </LinkButton>
          <Button size="compact-sm" leftSection={<IconPlayerPlay size={14} />} loading={again.isPending} onClick={() => again.mutate()}>
            Run again
          </Button>
        </>
      )}
      {run.agentId && !run.workflowId && (
        <LinkButton to="/agents/$agentId" params={{ agentId: run.agentId }} search={{ run: run.runId }} size="compact-sm" variant="default">
          Open at the agent
        </LinkButton>
      )}
      {again.error && <ErrorPanel error={again.error} title="The workflow was not started" />}
    </>
  );
}

function Loading() {
  return (
    <Page title="Run" above={<Link to="/dashboard">Runs</Link>} subtitle={<Skeleton height={16} width={320} mt={4} />}>
      <div className={classes.views}>
        <Skeleton height={380} radius={10} />
        <Skeleton height={380} radius={10} />
      </div>
    </Page>
  );
}
