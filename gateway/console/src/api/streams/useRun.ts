import { useEffect, useState } from "react";
import { useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";

import { View } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { workflowService } from "../services/workflowService";
import { adoptRun, applyMessage, cursorOf, isFinal, type RunState } from "./runState";
import { streamHub } from "./index";
import type { Delivery } from "./hub";

/** How often a run is read that has no stream. */
const POLL_MS = 3_000;

export const runKey = (runId: string) => ["run", runId] as const;

export interface WatchedRun {
  query: UseQueryResult<RunState>;
  /** How changes arrive at the moment; `undefined` once the run is final. */
  delivery: Delivery | undefined;
}

/**
 * Reads a run and follows it until it is final. Survives a lost connection, the closing of the tab that holds the stream, and a reload:
 * it then reads the run again and continues from there.
 *
 * `view` BASIC leaves the results of the steps out when the run is read; results of steps that complete while it is watched come with
 * the change in any case, up to 1 MiB.
 */
export function useRun(runId: string, view: View = View.UNSPECIFIED): WatchedRun {
  const queries = useQueryClient();
  const [delivery, setDelivery] = useState<Delivery>("stream");
  const query = useQuery({
    queryKey: runKey(runId),
    queryFn: async ({ signal }) => {
      const run = await workflowService.getRun(runId, view, signal);
      return adoptRun(queries.getQueryData<RunState>(runKey(runId)), run);
    },
    refetchInterval: ({ state }) => (delivery === "poll" && state.data && !isFinal(state.data.run) ? POLL_MS : false),
    staleTime: 5_000,
  });

  const known = query.data !== undefined;
  const final = query.data !== undefined && isFinal(query.data.run);
  useEffect(() => {
    if (!known || final) return;
    const hub = streamHub();
    const read = () => queries.getQueryData<RunState>(runKey(runId));
    return hub.watchRun(runId, {
      cursor: () => {
        const state = read();
        return state ? cursorOf(state) : { afterSequence: 0, liveExecutionId: "", liveOffset: 0 };
      },
      delivery: setDelivery,
      message: (message) => {
        const state = read();
        if (!state) return;
        const { state: next, gap } = applyMessage(state, message);
        if (gap) {
          // Read the run as it is now, and continue from there.
          void queries.refetchQueries({ queryKey: runKey(runId) }).then(() => hub.resync(runId));
          return;
        }
        if (next !== state) queries.setQueryData(runKey(runId), next);
        if (message.event.case === "done") void queries.invalidateQueries({ queryKey: runKey(runId) });
      },
    });
  }, [known, final, runId, queries]);

  return { query, delivery: final ? undefined : delivery };
}
