import { create } from "@bufbuild/protobuf";
import { afterEach, expect, it, vi } from "vitest";

import { WatchRunResponseSchema, type WatchRunResponse } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { StreamHub, type Delivery } from "./hub";
import type { RunCursor } from "./runState";

/** A lock that one holder has at a time, as Web Locks give it to the tabs of a browser. */
class Locks {
  private tail: Promise<unknown> = Promise.resolve();
  request = <T>(_: string, work: () => Promise<T>): Promise<T> => {
    const turn = this.tail.then(work);
    this.tail = turn.catch(() => undefined);
    return turn;
  };
}

/** The platform: every run has the changes 1 to `length`, and each open stream is counted. */
class Platform {
  open = 0;
  most = 0;
  readonly requests: ({ runId: string } & RunCursor)[] = [];
  private readonly waiting = new Set<() => void>();
  length = 0;

  append(): void {
    this.length += 1;
    for (const wake of this.waiting) wake();
  }

  watchRun = async function* (this: Platform, request: { runId: string } & RunCursor, signal: AbortSignal): AsyncGenerator<WatchRunResponse> {
    this.requests.push(request);
    this.most = Math.max(this.most, ++this.open);
    try {
      for (let sequence = request.afterSequence + 1; !signal.aborted; ) {
        if (sequence <= this.length) {
          yield create(WatchRunResponseSchema, { sequence: sequence++, event: { case: "step", value: { step: { taskId: "a" } } } });
          continue;
        }
        await new Promise<void>((resolve) => {
          this.waiting.add(resolve);
          signal.addEventListener("abort", () => resolve());
        });
      }
    } finally {
      this.open -= 1;
    }
  }.bind(this);

  watchEvents = async function* (this: Platform, _: object, signal: AbortSignal): AsyncGenerator<never> {
    this.most = Math.max(this.most, ++this.open);
    try {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    } finally {
      this.open -= 1;
    }
  }.bind(this);
}

interface Tab {
  hub: StreamHub;
  seen: number[];
  delivery: Delivery[];
}

const tabs: Tab[] = [];
afterEach(() => {
  for (const tab of tabs.splice(0)) tab.hub.stop();
});

function openTab(platform: Platform, locks: Locks, channel: string, runId: string): Tab {
  const hub = new StreamHub({
    openRun: platform.watchRun,
    openEvents: platform.watchEvents,
    channel: new BroadcastChannel(channel),
    lock: locks.request,
    tab: `${channel}-${tabs.length}`,
  });
  const tab: Tab = { hub, seen: [], delivery: [] };
  hub.start();
  hub.watchRun(runId, {
    cursor: () => ({ afterSequence: tab.seen.at(-1) ?? 0, liveExecutionId: "", liveOffset: 0 }),
    // Readers ignore what they already have.
    message: ({ sequence }) => sequence > (tab.seen.at(-1) ?? 0) && tab.seen.push(sequence),
    delivery: (delivery) => tab.delivery.push(delivery),
  });
  tabs.push(tab);
  return tab;
}

it("eight tabs on eight runs hold two streams, and the others are told to read their runs themselves", async () => {
  const [platform, locks] = [new Platform(), new Locks()];
  const opened = Array.from({ length: 8 }, (_, index) => openTab(platform, locks, "eight", `run-${index}`));
  platform.append();
  await vi.waitFor(() => expect(opened.map((tab) => tab.delivery.at(-1)).sort()).toEqual([...Array<Delivery>(7).fill("poll"), "stream"]));
  expect(platform.most).toBeLessThanOrEqual(2);
});

it("every tab on a run receives every change once, also after the leading tab has closed", async () => {
  const [platform, locks] = [new Platform(), new Locks()];
  const first = openTab(platform, locks, "lead", "run");
  const second = openTab(platform, locks, "lead", "run");
  platform.append();
  platform.append();
  await vi.waitFor(() => expect([first.seen, second.seen]).toEqual([[1, 2], [1, 2]]));

  tabs.splice(tabs.indexOf(first), 1);
  first.hub.stop();
  platform.append();
  await vi.waitFor(() => expect(second.seen).toEqual([1, 2, 3]));
  expect(platform.requests.at(-1)).toMatchObject({ runId: "run", afterSequence: 2 });
});
