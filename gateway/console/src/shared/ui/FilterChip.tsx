import { Button } from "@mantine/core";
import { IconX } from "@tabler/icons-react";

import { useAgentName } from "../agentName";

/** A filter that is set, and removed with a click. */
export function FilterChip({ label, clear }: { label: string; clear: () => void }) {
  return (
    <Button size="compact-sm" variant="light" rightSection={<IconX size={13} />} onClick={clear} aria-label={`Remove the filter ${label}`}>
      {label}
    </Button>
  );
}

export function AgentFilterChip({ agentId, clear }: { agentId: string; clear: () => void }) {
  return <FilterChip label={useAgentName(agentId)} clear={clear} />;
}
