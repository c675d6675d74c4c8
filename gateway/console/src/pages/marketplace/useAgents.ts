import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { agentService } from "@/api/services/agentService";
import type { MarketplaceSearch } from "@/app/searchParams";
import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { AgentOrder, type AgentFacets, type MeasuredAgent } from "@gen/agentmesh/registry/v1/registry_service_pb";

export const PAGE_SIZE = 50;

const ORDERS = { relevance: AgentOrder.RELEVANCE, name: AgentOrder.NAME, number: AgentOrder.NUMBER };

export interface FoundAgents {
  agents: Agent[];
  total: number;
  facets: AgentFacets | undefined;
  /** The closest agents when none matches. */
  nearest: Agent[];
  /** What was measured of the agents that have been run, by agent id. */
  measured: Record<string, MeasuredAgent>;
}

/** The agents that match, page by page. While another search loads, the agents of the last one stay. */
export function useAgents({ q, category, role, tags, order }: MarketplaceSearch) {
  const query = useInfiniteQuery({
    queryKey: ["agents", "list", q, category, role, tags, order],
    queryFn: ({ pageParam, signal }) =>
      agentService.listAgents(
        {
          search: q ?? "",
          category: category ?? "",
          role: role ?? "",
          tags: tags ?? [],
          orderBy: order ? ORDERS[order] : AgentOrder.UNSPECIFIED,
          limit: PAGE_SIZE,
          offset: pageParam,
        },
        signal,
      ),
    initialPageParam: 0,
    getNextPageParam: (last, pages) => {
      const loaded = pages.reduce((sum, page) => sum + page.agents.length, 0);
      return last.agents.length > 0 && loaded < last.total ? loaded : undefined;
    },
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  });
  const found = useMemo<FoundAgents | undefined>(() => {
    const first = query.data?.pages[0];
    if (!query.data || !first) return undefined;
    return {
      agents: query.data.pages.flatMap((page) => page.agents),
      total: first.total,
      facets: first.facets,
      nearest: first.nearest,
      measured: Object.assign({}, ...query.data.pages.map((page) => page.measured)) as Record<string, MeasuredAgent>,
    };
  }, [query.data]);
  return { query, found };
}
