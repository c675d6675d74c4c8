import { Code, ConnectError } from "@connectrpc/connect";

import type { WatchEventsResponse } from "@gen/agentmesh/event/v1/event_service_pb";
import { backoff } from "./plan";
import { wait } from "./runStream";

/** An event of the log, in a form that can be sent between tabs. */
export interface MeshEvent {
  type: string;
  aggregateId: string;
  data: Record<string, unknown>;
}

export type OpenEvents = (request: { afterPosition?: bigint }, signal: AbortSignal) => AsyncIterable<WatchEventsResponse>;

/** Follows the events of the user until `signal` is aborted, and resumes after the last one when the connection is lost. */
export async function followEvents(open: OpenEvents, listener: (event: MeshEvent) => void, signal: AbortSignal): Promise<void> {
  let position: bigint | undefined;
  let failures = 0;
  while (!signal.aborted) {
    try {
      for await (const { event } of open(position === undefined ? {} : { afterPosition: position }, signal)) {
        failures = 0;
        if (event.case === "heartbeat") position = event.value.position || position;
        if (event.case !== "logged") continue;
        position = event.value.position;
        const { eventType, aggregateId, data } = event.value;
        listener({ type: eventType, aggregateId, data: data ?? {} });
      }
    } catch (error) {
      // Without a session there is nothing to follow; the hub stops when the session ends.
      if (error instanceof ConnectError && error.code === Code.Unauthenticated) failures = Math.max(failures, 4);
    }
    await wait(backoff(failures++), signal);
  }
}
