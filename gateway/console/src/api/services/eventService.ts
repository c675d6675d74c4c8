import { createClient } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";

import { EventService, type ListEventsRequestSchema, type WatchEventsRequestSchema } from "@gen/agentmesh/event/v1/event_service_pb";
import { transport } from "../transport";

const client = createClient(EventService, transport);

/** The log of events. */
export const eventService = {
  listEvents: (request: MessageInitShape<typeof ListEventsRequestSchema>, signal?: AbortSignal) => client.listEvents(request, { signal }),
  /** One stream of events. Pages need not call it: the shell refreshes what an event changes. */
  watchEvents: (request: MessageInitShape<typeof WatchEventsRequestSchema>, signal: AbortSignal) => client.watchEvents(request, { signal }),
};
