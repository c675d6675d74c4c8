import { Button, Skeleton } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { IconPlayerStop, IconWifiOff } from "@tabler/icons-react";
import { useDeferredValue } from "react";

import { isNotFound, problemOfFailure } from "@/api/errors";
import { AGENT_STEP } from "@/api/services/agentService";
import { workflowService } from "@/api/services/workflowService";
import { isFinal } from "@/api/streams/runState";
import { runKey, useRun } from "@/api/streams/useRun";
import { RunStatus, type Run, type Step } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { Markdown } from "@/shared/markdown/Markdown";
import { CopyButton } from "@/shared/ui/CopyButton";
import { ErrorPanel, ProblemPanel } from "@/shared/ui/ErrorPanel";
import { RUN_STATUS, StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import { AnswerFacts } from "./AnswerFacts";
import { Elapsed } from "@/shared/ui/Elapsed";
import classes from "./Agent.module.css";

/** How many characters of a very long answer are read. The execution's page has the rest. */
const LONG_ANSWER = 200_000;

/** A background execution: its state, its answer as it grows, and what it cost. */
export function Answer({ runId, again }: { runId: string; again: (input: string) => void }) {
  const { query, delivery } = useRun(runId);
  const { data, error } = query;
  if (error && !data) {
    return isNotFound(error) ? (
      <div className={classes.noAnswer}>This answer was deleted, or it belongs to another user.</div>
    ) : (
      <ErrorPanel error={error} title="The answer could not be loaded" retry={() => void query.refetch()} />
    );
  }
  if (!data) {
    return (
      <div className={classes.answer}>
        <Skeleton height={12} width="30%" />
        <Skeleton height={10} mt={18} />
        <Skeleton height={10} width="88%" mt={8} />
        <Skeleton height={10} width="94%" mt={8} />
      </div>
    );
  }
  const { run, live } = data;
  const step = run.steps.find((each) => each.taskId === AGENT_STEP);
  const attempt = live?.attempt ?? step?.attempts ?? 0;
  return (
    <section className={classes.answer} aria-label="Answer">
      <header className={classes.answerHead}>
        <StatusBadge {...RUN_STATUS[run.status]} />
        <Elapsed run={run} />
        {attempt > 1 && <span className="dim">attempt {attempt}</span>}
        {delivery === "reconnecting" && (
          <span className={classes.reconnecting} role="status">
            <IconWifiOff size={14} aria-hidden /> Connection lost. The answer continues when it is back.
          </span>
        )}
        <span className={classes.spacer} />
        <Stop run={run} />
        {step?.result && <CopyButton text={step.result} what="the answer" label="Copy" />}
      </header>
      <Asked runId={runId} again={again} />
      <Body run={run} step={step} liveText={live?.text} truncated={live?.truncated ?? false} />
      {step && <AnswerFacts run={run} step={step} />}
    </section>
  );
}

function Body({ run, step, liveText, truncated }: { run: Run; step: Step | undefined; liveText: string | undefined; truncated: boolean }) {
  const final = isFinal(run);
  const source = useDeferredValue(step?.result || liveText || "");
  return (
    // Screen readers hear the state; an answer that is read out while it grows would be noise.
    <div aria-busy={!final}>
      {source ? (
        <Markdown source={source} growing={!final} />
      ) : run.resultsOmitted && step?.resultBytes ? (
        <LongAnswer runId={run.runId} />
      ) : (
        !final && <p className={classes.thinking}>{waitingFor(step, run)}</p>
      )}
      {truncated && !final && <p className={classes.thinking}>The answer is long. The rest appears when it is complete.</p>}
      {step?.nextAttemptAt && (
        <p className={classes.thinking}>
          The last attempt failed. The next one begins <Time at={step.nextAttemptAt} />.
        </p>
      )}
      {run.failure && <ProblemPanel problem={problemOfFailure(run.failure)} title="The agent could not answer" />}
      {run.status === RunStatus.CANCELLED && <p className={classes.thinking}>You stopped this run. What had been used until then was charged.</p>}
    </div>
  );
}

function waitingFor(step: Step | undefined, run: Run): string {
  if (run.status === RunStatus.CANCELLING) return "The agent is being stopped.";
  if (!step?.startedAt) return "Waiting for a free worker.";
  return "The agent is working. Its first words appear in a moment.";
}

/** Answers of more than a megabyte do not come with the run. */
function LongAnswer({ runId }: { runId: string }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["step", runId, AGENT_STEP, "long"],
    queryFn: ({ signal }) => workflowService.getStep(runId, AGENT_STEP, { resultLimit: LONG_ANSWER }, signal),
  });
  if (error) return <ErrorPanel error={error} title="The answer could not be loaded" retry={() => void refetch()} />;
  if (!data?.step) return <Skeleton height={120} />;
  return (
    <>
      <Markdown source={data.step.result} />
      {data.resultCharacters > LONG_ANSWER && (
        <p className={classes.thinking}>
          This is the beginning of a long answer.{" "}
          <Link to="/executions/$executionId" params={{ executionId: data.step.executionId }}>
            Read all of it
          </Link>
        </p>
      )}
    </>
  );
}

/** What was asked, folded. */
function Asked({ runId, again }: { runId: string; again: (input: string) => void }) {
  const { data } = useQuery({
    queryKey: ["step", runId, AGENT_STEP, "input"],
    queryFn: ({ signal }) => workflowService.getStep(runId, AGENT_STEP, { resultLimit: 1 }, signal),
    staleTime: Infinity,
  });
  if (!data?.input) return <div className={classes.askedPlace} />;
  const line = data.input.replaceAll(/\s+/g, " ");
  return (
    <details className={classes.asked}>
      <summary>
        <span className="truncate">{line}</span>
      </summary>
      <div className={classes.askedText}>{data.input}</div>
      <Button size="compact-xs" variant="subtle" color="gray" onClick={() => again(data.input)}>
        Use this input again
      </Button>
    </details>
  );
}

function Stop({ run }: { run: Run }) {
  const queries = useQueryClient();
  const stop = useMutation({
    mutationFn: () => workflowService.cancelRun(run.runId),
    onSettled: () => void queries.invalidateQueries({ queryKey: runKey(run.runId) }),
  });
  if (isFinal(run)) return null;
  return (
    <>
      <Button
        size="compact-sm"
        variant="default"
        leftSection={<IconPlayerStop size={14} />}
        loading={stop.isPending}
        disabled={run.status === RunStatus.CANCELLING}
        onClick={() => stop.mutate()}
      >
        Stop
      </Button>
      {stop.error && <ErrorPanel error={stop.error} title="The run was not stopped" />}
    </>
  );
}
