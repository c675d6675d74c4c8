import { Tooltip, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { agentService } from "@/api/services/agentService";
import { AgentHealthStatus, type AgentHealth } from "@gen/agentmesh/registry/v1/registry_pb";
import { duration } from "@/shared/format";
import { StatusBadge, type Tone } from "@/shared/ui/StatusBadge";

const LOOKS: Record<AgentHealthStatus, { label: string; tone: Tone; meaning: string }> = {
  [AgentHealthStatus.UNSPECIFIED]: { label: "Health unknown", tone: "unknown", meaning: "The platform did not say how the agent is." },
  [AgentHealthStatus.SERVING]: { label: "Serving", tone: "completed", meaning: "The agent accepts calls." },
  [AgentHealthStatus.NOT_SERVING]: { label: "Not serving", tone: "waiting", meaning: "Its host is running but accepts no calls at the moment." },
  [AgentHealthStatus.UNREACHABLE]: { label: "Unreachable", tone: "failed", meaning: "Its host did not answer within a second." },
};

/** The agent's health; a click checks it again. */
export function Health({ agentId }: { agentId: string }) {
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ["agents", "health", agentId],
    queryFn: ({ signal }) => agentService.getAgentHealth(agentId, signal),
    staleTime: 30_000,
  });
  const { label, tone, meaning } = lookOf(data, error);
  const latency = data?.latencySeconds ? ` It answered in ${duration(data.latencySeconds)}.` : "";
  return (
    <Tooltip label={`${meaning}${latency} Click to check again.`} multiline maw={260}>
      <UnstyledButton onClick={() => void refetch()} aria-label={`${label}. Check the agent's health again`} style={{ opacity: isFetching ? 0.6 : 1 }}>
        <StatusBadge label={label} tone={tone} />
      </UnstyledButton>
    </Tooltip>
  );
}

function lookOf(health: AgentHealth | undefined, error: unknown) {
  if (health) return LOOKS[health.status];
  if (error) return { label: "Health unknown", tone: "unknown" as Tone, meaning: "The check failed." };
  return { label: "Checking", tone: "idle" as Tone, meaning: "The agent's health is being checked." };
}
