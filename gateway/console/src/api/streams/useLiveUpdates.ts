import { useEffect } from "react";
import { useQueryClient, type QueryKey } from "@tanstack/react-query";

import { streamHub } from "./index";

/** Lists are read again at most this often, however many events arrive. */
const QUIET_MS = 1_000;

/** What an event makes out of date. */
export function staleAfter(eventType: string): QueryKey[] {
  if (eventType.startsWith("workflow.")) return [["runs"], ["workflows"], ["approvals"]];
  if (eventType === "agent.executed") return [["executions"], ["analytics"]];
  return [];
}

/** Keeps lists and approvals current: reads them again when an event or another tab says that they have changed. */
export function useLiveUpdates(enabled: boolean): void {
  const queries = useQueryClient();
  useEffect(() => {
    if (!enabled) return;
    const hub = streamHub();
    const pending = new Map<string, QueryKey>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      for (const queryKey of pending.values()) void queries.invalidateQueries({ queryKey });
      pending.clear();
    };
    const mark = (keys: QueryKey[]) => {
      for (const key of keys) pending.set(JSON.stringify(key), key);
      if (keys.length > 0) timer ??= setTimeout(flush, QUIET_MS);
    };
    const offEvent = hub.onEvent((event) => mark(staleAfter(event.type)));
    const offChanged = hub.onChanged((topic) => mark([[topic]]));
    return () => {
      offEvent();
      offChanged();
      clearTimeout(timer);
    };
  }, [enabled, queries]);
}
