import { Tooltip } from "@mantine/core";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { useSyncExternalStore } from "react";

import { absoluteTime, dateOf, NONE, relativeTime } from "../format";

// One clock for all relative times on the page, so that a table of 200 rows has one timer.
const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 10_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** A relative time, with the absolute time on hover and for screen readers. */
export function Time({ at }: { at: Timestamp | Date | undefined }) {
  useSyncExternalStore(subscribe, () => now);
  const date = at instanceof Date ? at : dateOf(at);
  if (!date) return <span className="dim">{NONE}</span>;
  return (
    <Tooltip label={absoluteTime(date)}>
      <time dateTime={date.toISOString()} style={{ whiteSpace: "nowrap" }}>
        {relativeTime(date, new Date(Math.max(now, Date.now())))}
      </time>
    </Tooltip>
  );
}
