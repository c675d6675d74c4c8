import { Button, Skeleton } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { problemOfFailure } from "@/api/errors";
import { workflowService } from "@/api/services/workflowService";
import type { Execution } from "@gen/agentmesh/execution/v1/execution_pb";
import { ApprovalDecision, StepStatus, type Run, type Step, type StepApproval, type Task } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { DecisionForm } from "@/shared/approvals/DecisionForm";
import { useAgentName } from "@/shared/agentName";
import { count, dateOf, duration, integer, money, NONE, secondsBetween } from "@/shared/format";
import { Markdown } from "@/shared/markdown/Markdown";
import { CopyButton } from "@/shared/ui/CopyButton";
import { DataTable, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel, ProblemPanel } from "@/shared/ui/ErrorPanel";
import { Facts, Section } from "@/shared/ui/Page";
import { TextBlock } from "@/shared/ui/TextBlock";
import { EXECUTION_STATUS, STEP_STATUS, StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import classes from "./Run.module.css";

/** How many characters of a result are read at a time. */
const PIECE = 100_000;

interface StepPanelProps {
  run: Run;
  step: Step;
  /** The task as the workflow defines it; absent for a background execution. */
  task: Task | undefined;
  /** The answer as far as it is written, while the step runs. */
  liveText: string | undefined;
  /** Called after a decision, so that the page stays with the step. */
  decided: () => void;
}

/** One step: its question, its input with the results of earlier steps put in, its attempts, its answer and its cost. */
export function StepPanel({ run, step, task, liveText, decided }: StepPanelProps) {
  const name = useAgentName(step.agentId);
  const query = useInfiniteQuery({
    // A step that ends, or tries again, has another answer.
    queryKey: ["step", run.runId, step.taskId, step.status, step.attempts],
    queryFn: ({ pageParam, signal }) =>
      workflowService.getStep(run.runId, step.taskId, { resultOffset: pageParam, resultLimit: PIECE }, signal),
    initialPageParam: 0,
    getNextPageParam: (last, pages) => (pages.length * PIECE < last.resultCharacters ? pages.length * PIECE : undefined),
  });
  const first = query.data?.pages[0];
  const result = query.data?.pages.map((page) => page.step?.result ?? "").join("") || liveText || "";
  const waits = step.status === StepStatus.WAITING_APPROVAL && step.approval;
  return (
    <section className={classes.step} aria-label={`Step ${step.taskId}`}>
      <header className={classes.stepHead}>
        <h2>{step.taskId}</h2>
        <StatusBadge {...STEP_STATUS[step.status]} />
        <Link to="/agents/$agentId" params={{ agentId: step.agentId }}>
          {name}
        </Link>
      </header>
      {waits && <Decision run={run} step={step} approval={waits} decided={decided} />}
      {step.failure && <ProblemPanel problem={problemOfFailure(step.failure)} title="The step failed" />}
      {step.nextAttemptAt && (
        <p className={classes.note}>
          The last attempt failed. The next one begins <Time at={step.nextAttemptAt} />.
        </p>
      )}
      {query.error && !first && <ErrorPanel error={query.error} title="The step could not be loaded" retry={() => void query.refetch()} />}
      <div className={classes.columns}>
        <div className={classes.texts}>
          {!first && !query.error && <Skeleton height={140} />}
          {first && (
            <Section title={task && first.input === "" ? "Input, as the workflow has it" : "Input"} aside={<CopyButton text={first.input || task?.input || ""} what="the input" />}>
              <TextBlock label="Input" text={first.input || task?.input || "The input is fixed when the steps before it have completed."} />
            </Section>
          )}
          {result && (
            <Section title={step.finishedAt ? "Answer" : "Answer so far"} aside={<CopyButton text={result} what="the answer" />}>
              <Markdown source={result} growing={!step.finishedAt} />
              {query.hasNextPage && (
                <Button mt="md" size="compact-sm" variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                  Show more of {count(first?.resultCharacters ?? 0, "character")}
                </Button>
              )}
            </Section>
          )}
          {first && first.attempts.length > 0 && (
            <Section title="Attempts">
              <DataTable
                label="Attempts"
                columns={ATTEMPTS}
                rows={first.attempts}
                rowKey={(attempt) => attempt.executionId}
                empty={<EmptyState title="Not tried yet" />}
              />
            </Section>
          )}
        </div>
        <aside className={classes.side} aria-label="Figures of the step">
          <Figures step={step} task={task} />
        </aside>
      </div>
    </section>
  );
}

function Figures({ step, task }: { step: Step; task: Task | undefined }) {
  const { usage, approval } = step;
  const seconds = secondsBetween(step.startedAt, step.finishedAt);
  return (
    <Facts
      items={[
        ["Cost", usage ? `${money(usage.costMicroUsd)}${usage.estimated ? " (estimated)" : ""}` : NONE],
        ["Duration", seconds === undefined ? NONE : duration(seconds)],
        ["Input", usage ? `${integer(usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens)} tokens` : NONE],
        ["Output", usage ? `${integer(usage.outputTokens)} tokens` : NONE],
        ["Model", usage?.model || NONE],
        ["Attempts", `${step.attempts}${task?.retry?.maxAttempts ? ` of at most ${task.retry.maxAttempts}` : ""}`],
        ["After", task && task.dependsOn.length > 0 ? task.dependsOn.join(", ") : "Nothing"],
        ...(approval?.decidedAt ? ([["Approval", decided(approval)]] as const) : []),
      ]}
    />
  );
}

function decided({ decision, decidedBy, reason }: StepApproval): string {
  const what = decision === ApprovalDecision.APPROVED ? "Approved" : "Rejected";
  const who = decidedBy ? `by user ${decidedBy}` : "because the time ran out";
  return `${what} ${who}${reason ? `: ${reason}` : ""}`;
}

function Decision({ run, step, approval, decided }: { run: Run; step: Step; approval: StepApproval; decided: () => void }) {
  const fallback = approval.decision === ApprovalDecision.APPROVED ? "approved" : "rejected";
  return (
    <div className={classes.decision}>
      <strong>{approval.message || `May ${step.taskId} begin?`}</strong>
      {approval.expiresAt && (
        <p>
          Without a decision it is {fallback} <Time at={approval.expiresAt} />.
        </p>
      )}
      <DecisionForm runId={run.runId} stepId={step.taskId} decided={decided} />
    </div>
  );
}

const ATTEMPTS: readonly Column<Execution>[] = [
  {
    key: "when",
    heading: "Began",
    cell: (attempt) => (
      <Link to="/executions/$executionId" params={{ executionId: attempt.executionId }}>
        <Time at={attempt.createdAt} />
      </Link>
    ),
    csv: ({ createdAt }) => dateOf(createdAt),
  },
  { key: "status", heading: "Status", cell: ({ status }) => <StatusBadge {...EXECUTION_STATUS[status]} />, width: 150 },
  { key: "reason", heading: "Reason", cell: ({ failure }) => <span className="mono dim">{failure?.code ?? ""}</span>, secondary: true },
  {
    key: "took",
    heading: "Duration",
    cell: ({ createdAt, finishedAt }) => {
      const seconds = secondsBetween(createdAt, finishedAt);
      return seconds === undefined ? NONE : duration(seconds);
    },
    numeric: true,
    width: 100,
  },
  { key: "cost", heading: "Cost", cell: ({ usage }) => (usage ? money(usage.costMicroUsd) : NONE), numeric: true, width: 90 },
];
