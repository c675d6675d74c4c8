import { Link } from "@tanstack/react-router";

import { ApprovalDecision, OnIncomplete, type Task } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { useAgentName } from "@/shared/agentName";
import { count, duration } from "@/shared/format";
import { CopyButton } from "@/shared/ui/CopyButton";
import { Facts } from "@/shared/ui/Page";
import { TextBlock } from "@/shared/ui/TextBlock";
import classes from "./Workflow.module.css";

/** One task, as the workflow defines it. */
export function TaskPanel({ task }: { task: Task }) {
  const name = useAgentName(task.agentId);
  const { retry, approval } = task;
  return (
    <aside className={classes.panel} aria-label={`Task ${task.id}`}>
      <h2>{task.id}</h2>
      <Facts
        items={[
          ["Agent", <Link key="agent" to="/agents/$agentId" params={{ agentId: task.agentId }}>{name}</Link>],
          ["After", task.dependsOn.length > 0 ? task.dependsOn.join(", ") : "Nothing: it begins at once"],
          ["Time limit", duration(task.timeoutSeconds ?? 120)],
          ["Retries", `${count(retry?.maxAttempts ?? 4, "attempt")}, ${duration(retry?.delaySeconds ?? 30)} apart${(retry?.backoff ?? 1) > 1 ? `, each pause ${retry?.backoff} times as long` : ""}`],
          ["Cut-off answer", task.onIncomplete === OnIncomplete.USE ? "Is used as it is" : "Fails the step"],
          [
            "Approval",
            approval
              ? `Asks “${approval.message || `May ${task.id} begin?`}”; ${approval.defaultDecision === ApprovalDecision.APPROVED ? "approved" : "rejected"} after ${duration(approval.timeoutSeconds ?? 86_400)} without a decision`
              : "Not needed",
          ],
        ]}
      />
      <div className={classes.inputHead}>
        <h3>Input</h3>
        <CopyButton text={task.input} what="the input" />
      </div>
      <TextBlock label="Input" text={task.input} />
    </aside>
  );
}
