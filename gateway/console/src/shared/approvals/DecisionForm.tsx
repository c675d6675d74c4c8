import { Button, Group, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { workflowService } from "@/api/services/workflowService";
import { streamHub } from "@/api/streams";
import { runKey } from "@/api/streams/useRun";
import { ErrorPanel } from "../ui/ErrorPanel";

/** Approves or rejects a step that waits, with a reason. */
export function DecisionForm({ runId, stepId, decided }: { runId: string; stepId: string; decided?: () => void }) {
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const decision = useMutation({
    mutationFn: (approved: boolean) => workflowService.decideApproval(runId, stepId, approved, reason),
    onSuccess: () => decided?.(),
    onSettled: () => {
      streamHub().tellChanged("approvals");
      void queries.invalidateQueries({ queryKey: ["approvals"] });
      void queries.invalidateQueries({ queryKey: runKey(runId) });
    },
  });
  return (
    <>
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
      {decision.error && <ErrorPanel error={decision.error} title="The decision was not taken" />}
    </>
  );
}
