import type { Cancellation, Run } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { count, money } from "@/shared/format";
import { Time } from "@/shared/ui/Time";
import { costOf } from "./cost";
import classes from "./Run.module.css";

/** What a cancellation stopped, and what had been bought until then. */
export function Receipt({ run, cancellation }: { run: Run; cancellation: Cancellation }) {
  const { requestedAt, finishedAt, stoppedSteps } = cancellation;
  return (
    <section className={classes.receipt} aria-label="Receipt of the cancellation">
      <strong>{finishedAt ? "The run was cancelled" : "The run is being cancelled"}</strong>, asked <Time at={requestedAt} />.{" "}
      {stoppedSteps.length === 0
        ? "No step was in progress."
        : `${count(stoppedSteps.length, "step")} in progress ${stoppedSteps.length === 1 ? "was" : "were"} stopped:`}
      {stoppedSteps.length > 0 && (
        <ul>
          {stoppedSteps.map(({ taskId, usage, outputTokensAfterRequest }) => (
            <li key={taskId}>
              {taskId}: {usage ? money(usage.costMicroUsd) : "$0"}
              {outputTokensAfterRequest > 0 && `, ${count(outputTokensAfterRequest, "token")} after the request`}
            </li>
          ))}
        </ul>
      )}{" "}
      The whole run cost {money(costOf(run))}.
    </section>
  );
}
