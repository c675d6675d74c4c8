import { useQuery } from "@tanstack/react-query";

import { words } from "./format";
import { agentService } from "@/api/services/agentService";

/** `marketing_seo_strategist_agent_1_1` → `Marketing SEO strategist 1`: what an id says, where a hundred names would be too much to ask for. */
export function agentInWords(agentId: string): string {
  const [, kind = agentId, index = ""] = /^(.+)_agent_(\d+)_\d+$/.exec(agentId) ?? [];
  return `${words(kind)} ${index}`.trimEnd();
}

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
