import { Popover, ScrollArea, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { IconHandStop } from "@tabler/icons-react";

import { workflowService } from "@/api/services/workflowService";
import type { PendingApproval } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { DecisionForm } from "@/shared/approvals/DecisionForm";
import { count } from "@/shared/format";
import { Time } from "@/shared/ui/Time";
import classes from "./Navigation.module.css";

/** The steps that wait for a decision of the user, on every page. Shows nothing while there are none. */
export default function Approvals({ placement }: { placement: "side" | "top" }) {
  const { data } = useQuery({
    queryKey: ["approvals"],
    queryFn: ({ signal }) => workflowService.listApprovals({ pageSize: 50 }, signal),
    // Events announce new approvals; this is for decisions made elsewhere and for time that runs out.
    refetchInterval: 60_000,
  });
  const approvals = data?.approvals ?? [];
  if (approvals.length === 0) return null;
  const more = data?.nextPageToken ? "+" : "";
  return (
    <Popover position={placement === "side" ? "right-end" : "bottom-end"} width={400} shadow="md" trapFocus>
      <Popover.Target>
        <UnstyledButton className={classes.approvals} data-placement={placement}>
          <IconHandStop size={16} aria-hidden />
          {placement === "side" ? `${count(approvals.length, "approval")}${more}` : `${approvals.length}${more}`}
          <span className="visually-hidden"> waiting for your decision</span>
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown maw="calc(100vw - 24px)" role="dialog" aria-label="Approvals that wait for your decision">
        <ScrollArea.Autosize mah="70dvh">
          {approvals.map((approval) => (
            <Question key={`${approval.runId}/${approval.stepId}`} approval={approval} />
          ))}
        </ScrollArea.Autosize>
      </Popover.Dropdown>
    </Popover>
  );
}

function Question({ approval: { runId, stepId, workflowName, approval } }: { approval: PendingApproval }) {
  return (
    <div className={classes.question}>
      <div className={classes.questionText}>{approval?.message || `May ${stepId} begin?`}</div>
      <div className={classes.questionFacts}>
        <Link to="/runs/$runId" params={{ runId }} search={{ step: stepId }}>
          {workflowName || "Background execution"}
        </Link>{" "}
        · step {stepId} · decides itself <Time at={approval?.expiresAt} />
      </div>
      <DecisionForm runId={runId} stepId={stepId} />
    </div>
  );
}
