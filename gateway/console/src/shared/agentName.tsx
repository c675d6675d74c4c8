import { useQuery } from "@tanstack/react-query";

import { agentService } from "@/api/services/agentService";

/** The display name of an agent; its id until the name is known, and if the agent is no longer in the catalogue. */
export function useAgentName(agentId: string): string {
  const { data } = useQuery({
    queryKey: ["agents", "one", agentId],
    queryFn: ({ signal }) => agentService.getAgent(agentId, signal),
    staleTime: 5 * 60_000,
    enabled: agentId !== "",
  });
  return data?.name ?? agentId;
}
