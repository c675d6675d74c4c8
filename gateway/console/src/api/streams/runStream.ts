import { Code, ConnectError } from "@connectrpc/connect";

import type { WatchRunResponse } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { backoff } from "./plan";
import type { RunCursor } from "./runState";

export type OpenRun = (request: { runId: string } & RunCursor, signal: AbortSignal) => AsyncIterable<WatchRunResponse>;

export interface RunStreamEvents {
  message: (message: WatchRunResponse) => void;
  /** The stream was lost and will be opened again. */
  lost: () => void;
  /** The stream has ended for good: the run is final, or `error` tells why it cannot be watched. */
  ended: (error: unknown) => void;
}

/** A stream sends a heartbeat after 15 s of silence. After this much silence, the connection is dead. */
const SILENCE_MS = 40_000;

/** Follows one run until it is final, and opens the stream again where it was when the connection is lost. */
export async function followRun(open: OpenRun, runId: string, from: RunCursor, events: RunStreamEvents, signal: AbortSignal): Promise<void> {
  let cursor = from;
  let failures = 0;
  while (!signal.aborted) {
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener("abort", stop);
    let silence = setTimeout(stop, SILENCE_MS);
    try {
      for await (const message of open({ runId, ...cursor }, attempt.signal)) {
        clearTimeout(silence);
        silence = setTimeout(stop, SILENCE_MS);
        failures = 0;
        cursor = advance(cursor, message);
        events.message(message);
        if (message.event.case === "done") return events.ended(undefined);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isLasting(error)) return events.ended(error);
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
    }
    if (signal.aborted) return;
    events.lost();
    await wait(backoff(failures++), signal);
  }
}

/** Where to resume after a message. */
export function advance(cursor: RunCursor, message: WatchRunResponse): RunCursor {
  const { event } = message;
  const afterSequence = Math.max(cursor.afterSequence, message.sequence);
  if (event.case !== "live" || !event.value.text) return { ...cursor, afterSequence };
  return { afterSequence, liveExecutionId: event.value.executionId, liveOffset: event.value.text.nextOffset };
}

/** Whether opening the stream again would fail in the same way. */
function isLasting(error: unknown): boolean {
  return (
    error instanceof ConnectError &&
    [Code.NotFound, Code.PermissionDenied, Code.Unauthenticated, Code.InvalidArgument, Code.Unimplemented].includes(error.code)
  );
}

export function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      window.removeEventListener("online", done);
      resolve();
    }
    signal.addEventListener("abort", done);
    // No need to wait once the network is back.
    window.addEventListener("online", done);
  });
}
