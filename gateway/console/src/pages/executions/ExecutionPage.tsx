import { Button, Skeleton } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { isNotFound, problemOfFailure } from "@/api/errors";
import { executionService } from "@/api/services/executionService";
import { StopReason } from "@gen/agentmesh/common/v1/answer_pb";
import { ExecutionStatus, type Execution } from "@gen/agentmesh/execution/v1/execution_pb";
import { count, duration, integer, money, secondsBetween } from "@/shared/format";
import { fieldInWords, inWords } from "@/shared/inWords";
import { Markdown } from "@/shared/markdown/Markdown";
import { CopyableId, CopyButton } from "@/shared/ui/CopyButton";
import { ErrorPanel, NotFound, ProblemPanel } from "@/shared/ui/ErrorPanel";
import { Facts, Page, Section } from "@/shared/ui/Page";
import { TextBlock } from "@/shared/ui/TextBlock";
import { EXECUTION_STATUS, StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import { LinkButton } from "@/shared/ui/LinkButton";
import classes from "./Executions.module.css";

const route = getRouteApi("/app/executions/$executionId");

/** How many characters of the result are read at a time. */
const PIECE = 100_000;

const STOP_REASONS: Record<StopReason, string> = {
  [StopReason.UNSPECIFIED]: "For a reason that this version does not know",
  [StopReason.END_TURN]: "The answer was complete",
  [StopReason.MAX_TOKENS]: "Cut off at the agent's token limit",
  [StopReason.STOP_SEQUENCE]: "At one of the definition's stop sequences",
  [StopReason.REFUSAL]: "The model refused to answer",
  [StopReason.CONTEXT_WINDOW]: "Cut off: the model's context was full",
  [StopReason.TOOL_USE]: "The model called a tool",
  [StopReason.PAUSE_TURN]: "The provider paused the turn",
  [StopReason.LIMIT]: "At a limit of the platform; the answer is complete",
};

export function ExecutionPage() {
  const { executionId } = route.useParams();
  const query = useInfiniteQuery({
    queryKey: ["executions", "one", executionId],
    queryFn: ({ pageParam, signal }) =>
      executionService.getExecution(executionId, { resultOffset: pageParam, resultLimit: PIECE }, signal),
    initialPageParam: 0,
    getNextPageParam: (last, pages) => (pages.length * PIECE < last.resultCharacters ? pages.length * PIECE : undefined),
  });
  const first = query.data?.pages[0];
  if (query.error && !first) {
    if (isNotFound(query.error)) return <NotFound what="This execution" />;
    return (
      <Page title="Execution">
        <ErrorPanel error={query.error} title="The execution could not be loaded" retry={() => void query.refetch()} />
      </Page>
    );
  }
  const execution = first?.execution;
  if (!execution) return <Loading />;
  const result = query.data?.pages.map((page) => page.execution?.result ?? "").join("") ?? "";
  return (
    <Page
      title={execution.agentName || execution.agentId}
      above={<Link to="/executions">Executions</Link>}
      subtitle={
        <span className={classes.subtitle}>
          <StatusBadge {...EXECUTION_STATUS[execution.status]} /> <Time at={execution.createdAt} />
        </span>
      }
      actions={
        <LinkButton to="/agents/$agentId" params={{ agentId: execution.agentId }} variant="default" size="compact-sm">
          Open the agent
        </LinkButton>
      }
    >
      <div className={classes.columns}>
        <div className={classes.texts}>
          {execution.failure && <ProblemPanel problem={problemOfFailure(execution.failure)} title="The agent could not answer" />}
          {execution.status === ExecutionStatus.OUTCOME_UNKNOWN && (
            <p className={classes.note}>
              The process that made this call died before it was answered. The provider may have charged for it, so it is recorded at its worst-case
              cost.
            </p>
          )}
          <Section title="Input" aside={<CopyButton text={execution.input} what="the input" />}>
            <TextBlock label="Input" text={execution.input} />
          </Section>
          {execution.context && Object.keys(execution.context).length > 0 && (
            <Section title="Facts that were given">
              <Facts items={Object.entries(execution.context).map(([name, value]) => [fieldInWords(name), inWords(value)] as const)} />
            </Section>
          )}
          {result && (
            <Section title="Answer" aside={<CopyButton text={result} what="the answer" />}>
              <Markdown source={result} />
              {query.hasNextPage && (
                <Button mt="md" size="compact-sm" variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                  Show more of {count(first.resultCharacters, "character")}
                </Button>
              )}
            </Section>
          )}
        </div>
        <aside className={classes.side} aria-label="Figures">
          <Figures execution={execution} />
        </aside>
      </div>
    </Page>
  );
}

function Figures({ execution }: { execution: Execution }) {
  const { usage, facts } = execution;
  const seconds = secondsBetween(execution.createdAt, execution.finishedAt);
  const items: (readonly [string, ReactNode])[] = [];
  if (usage) items.push(["Cost", `${money(usage.costMicroUsd)}${usage.estimated ? " (estimated)" : ""}`]);
  if (seconds !== undefined) items.push(["Duration", duration(seconds)]);
  if (usage) {
    items.push(["Input", `${integer(usage.inputTokens)} tokens`]);
    if (usage.cacheReadTokens) items.push(["From the cache", `${integer(usage.cacheReadTokens)} tokens`]);
    if (usage.cacheWriteTokens) items.push(["Into the cache", `${integer(usage.cacheWriteTokens)} tokens`]);
    items.push(["Output", `${integer(usage.outputTokens)} tokens`], ["Model", usage.model], ["Prices of", usage.priceTable]);
  }
  if (facts) {
    items.push(["Ended", STOP_REASONS[facts.stopReason]]);
    if (facts.turns > 1) items.push(["Turns", integer(facts.turns)]);
    items.push(["Provider", facts.provider === "simulator" ? "The local simulator" : facts.provider]);
    for (const [rule, passages] of Object.entries(facts.redacted)) items.push([`Redacted: ${fieldInWords(rule)}`, count(passages, "passage")]);
  }
  items.push(
    ["Sent as", execution.streamed ? "A stream" : "A whole answer"],
    ["Started", <Time key="started" at={execution.createdAt} />],
    ["Request", <CopyableId key="request" id={execution.requestId} what="the request id" />],
    ["Execution", <CopyableId key="execution" id={execution.executionId} what="the execution id" />],
    ["Revision", <span key="revision" className="mono">{execution.agentRevision}</span>],
  );
  return <Facts items={items} />;
}

function Loading() {
  return (
    <Page title="Execution" above={<Link to="/executions">Executions</Link>} subtitle={<Skeleton height={14} width={180} mt={4} />}>
      <div className={classes.columns}>
        <div className={classes.texts}>
          <Skeleton height={90} mt={26} />
          <Skeleton height={320} mt={26} />
        </div>
        <Skeleton height={300} />
      </div>
    </Page>
  );
}
