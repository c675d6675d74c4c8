import { eventService } from "../services/eventService";
import { workflowService } from "../services/workflowService";
import { StreamHub } from "./hub";

let hub: StreamHub | null = null;

/** The hub of this tab; it exists while somebody is logged in. */
export function streamHub(): StreamHub {
  if (!hub) {
    hub = new StreamHub({ openRun: workflowService.watchRun, openEvents: eventService.watchEvents });
    hub.start();
  }
  return hub;
}

export function stopStreams(): void {
  hub?.stop();
  hub = null;
}
