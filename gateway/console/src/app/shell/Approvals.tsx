import { Button, Group, Popover, ScrollArea, TextInput, UnstyledButton } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { IconHandStop } from "@tabler/icons-react";
import { useState } from "react";

import { streamHub } from "@/api/streams";
import { runKey } from "@/api/streams/useRun";
import { workflowService } from "@/api/services/workflowService";
import type { PendingApproval } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { count } from "@/shared/format";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
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
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const decision = useMutation({
    mutationFn: (approved: boolean) => workflowService.decideApproval(runId, stepId, approved, reason),
    onSettled: () => {
      streamHub().tellChanged("approvals");
      void queries.invalidateQueries({ queryKey: ["approvals"] });
      void queries.invalidateQueries({ queryKey: runKey(runId) });
    },
  });
  return (
    <div className={classes.question}>
      <div className={classes.questionText}>{approval?.message || `May ${stepId} begin?`}</div>
      <div className={classes.questionFacts}>
        <Link to="/runs/$runId" params={{ runId }} search={{ step: stepId }}>
          {workflowName || "Background execution"}
        </Link>{" "}
        · step {stepId} · decides itself <Time at={approval?.expiresAt} />
      </div>
      <TextInput
        size="xs"
        mb="sm"
        placeholder="Reason (optional)"
        aria-label="Reason for the decision"
        maxLength={2000}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      <Group gap="sm">
        <Button size="compact-sm" loading={decision.isPending} onClick={() => decision.mutate(true)}>
          Approve
        </Button>
        <Button size="compact-sm" variant="default" disabled={decision.isPending} onClick={() => decision.mutate(false)}>
          Reject
        </Button>
      </Group>
      {decision.error && <ErrorPanel error={decision.error} />}
    </div>
  );
}
