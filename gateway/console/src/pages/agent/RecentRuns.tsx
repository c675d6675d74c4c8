import { UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { workflowService } from "@/api/services/workflowService";
import { duration, secondsBetween } from "@/shared/format";
import { RUN_STATUS, StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import classes from "./Agent.module.css";

interface RecentRunsProps {
  agentId: string;
  shown: string | undefined;
  show: (runId: string) => void;
}

/** The user's last background executions of the agent. */
export function RecentRuns({ agentId, shown, show }: RecentRunsProps) {
  const { data } = useQuery({
    queryKey: ["runs", "of-agent", agentId],
    queryFn: ({ signal }) => workflowService.listRuns({ agentId, pageSize: 12 }, signal),
  });
  // Runs of workflows that use the agent are on the dashboard.
  const runs = data?.runs.filter((run) => run.agentId === agentId).slice(0, 8) ?? [];
  if (runs.length === 0) return null;
  return (
    <section aria-label="Your recent runs">
      <h2 className={classes.smallHeading}>Your recent runs</h2>
      <ul className={classes.recent}>
        {runs.map((run) => {
          const seconds = secondsBetween(run.createdAt, run.finishedAt);
          return (
            <li key={run.runId}>
              <UnstyledButton className={classes.recentRun} aria-current={run.runId === shown || undefined} onClick={() => show(run.runId)}>
                <StatusBadge {...RUN_STATUS[run.status]} />
                <span className="dim num">{seconds === undefined ? "" : duration(seconds)}</span>
                <span className="dim">
                  <Time at={run.createdAt} />
                </span>
              </UnstyledButton>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
