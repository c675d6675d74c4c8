import { Link } from "@tanstack/react-router";

import { StopReason } from "@gen/agentmesh/common/v1/answer_pb";
import type { Run, Step } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { count, integer, money } from "@/shared/format";
import { CopyableId } from "@/shared/ui/CopyButton";
import { Time } from "@/shared/ui/Time";
import classes from "./Agent.module.css";

/** What the user should know about an answer that did not end in the ordinary way. */
const CAUTIONS: Partial<Record<StopReason, string>> = {
  [StopReason.MAX_TOKENS]: "The answer was cut off at the agent's token limit.",
  [StopReason.CONTEXT_WINDOW]: "The answer was cut off because the input and the answer together filled the model's context.",
  [StopReason.REFUSAL]: "The model refused to answer.",
  [StopReason.LIMIT]: "A limit of the platform ended the work; the answer is complete as it is.",
};

/** Tokens, cost and where to find the call again. */
export function AnswerFacts({ run, step }: { run: Run; step: Step }) {
  const { usage, facts } = step;
  const caution = facts && CAUTIONS[facts.stopReason];
  const redacted = Object.values(facts?.redacted ?? {}).reduce((sum, each) => sum + each, 0);
  return (
    <footer className={classes.answerFoot}>
      {caution && <p className={classes.caution}>{caution}</p>}
      {redacted > 0 && <p className={classes.caution}>{count(redacted, "passage")} of the answer {redacted === 1 ? "was" : "were"} redacted by a guardrail.</p>}
      <dl className={classes.answerFacts}>
        {usage && (
          <>
            <Fact name="Cost">
              {money(usage.costMicroUsd)}
              {usage.estimated && " (estimated)"}
            </Fact>
            <Fact name="Tokens">
              {integer(usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens)} in, {integer(usage.outputTokens)} out
              {usage.cacheReadTokens > 0 && `, ${integer(usage.cacheReadTokens)} of them from the cache`}
            </Fact>
            <Fact name="Model">
              {usage.model}
              {facts?.provider === "simulator" && " (simulator)"}
            </Fact>
          </>
        )}
        <Fact name="Started">
          <Time at={run.createdAt} />
        </Fact>
        {run.requestId && (
          <Fact name="Request">
            <CopyableId id={run.requestId} what="the request id" />
          </Fact>
        )}
        <Fact name="More">
          <Link to="/runs/$runId" params={{ runId: run.runId }}>
            Run
          </Link>
          {step.executionId && (
            <>
              {" · "}
              <Link to="/executions/$executionId" params={{ executionId: step.executionId }}>
                Execution
              </Link>
            </>
          )}
        </Fact>
      </dl>
    </footer>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
