import { fromBinary, toBinary } from "@bufbuild/protobuf";

import { WatchRunResponseSchema, type WatchRunResponse } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { randomId, TAB_ID } from "@/shared/browser/ids";
import { withLock } from "@/shared/browser/locks";
import { followEvents, type MeshEvent, type OpenEvents } from "./eventStream";
import { chooseRuns, earliest, type Want } from "./plan";
import { followRun, type OpenRun } from "./runStream";
import type { RunCursor } from "./runState";

/** How a tab receives a run's changes: over the shared stream, by reading it every few seconds, or not at the moment. */
export type Delivery = "stream" | "poll" | "reconnecting";

export interface RunListener {
  message: (message: WatchRunResponse) => void;
  delivery: (delivery: Delivery) => void;
  /** The last state that the listener knows, from which a new stream must continue. */
  cursor: () => RunCursor;
}

interface Subscription {
  id: string;
  runId: string;
  listener: RunListener;
}

/** What the tabs tell each other. */
type TabMessage =
  | { kind: "want"; want: Want }
  | { kind: "unwant"; id: string }
  | { kind: "closed"; tab: string }
  /** A new leading tab asks for the wishes of all tabs. */
  | { kind: "leading" }
  | { kind: "serving"; runs: string[]; lost: string[] }
  | { kind: "run"; runId: string; message: Uint8Array }
  | { kind: "event"; event: MeshEvent }
  | { kind: "changed"; topic: string };

export interface HubOptions {
  openRun: OpenRun;
  openEvents: OpenEvents;
  channel?: BroadcastChannel;
  lock?: typeof withLock;
  tab?: string;
}

interface OpenStream {
  abort: AbortController;
  /** The wishes that it was opened for. */
  ids: Set<string>;
  lost: boolean;
  /** Settles when the stream is closed. */
  closed: Promise<void>;
}

/**
 * Shares streams between the tabs of a browser. One tab leads: it holds the streams, at most `MAX_STREAMS`, and sends what arrives to the
 * others. When it closes, the next tab takes over and continues where each reader is. Every reader ignores what it already has, so a
 * stream may be opened again from an earlier place.
 */
export class StreamHub {
  private readonly channel: BroadcastChannel;
  private readonly tab: string;
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly eventListeners = new Set<(event: MeshEvent) => void>();
  private readonly topicListeners = new Set<(topic: string) => void>();
  private readonly wants = new Map<string, Want>();
  private readonly streams = new Map<string, OpenStream>();
  private readonly running = new AbortController();
  private leads = false;
  private lastServing = 0;
  /** Streams that were aborted and are not closed yet. They count, so the next stream waits for them. */
  private closing = 0;

  constructor(private readonly options: HubOptions) {
    this.tab = options.tab ?? TAB_ID;
    this.channel = options.channel ?? new BroadcastChannel("agentmesh.streams");
    this.channel.onmessage = ({ data }: MessageEvent<TabMessage>) => this.receive(data);
  }

  /** Takes part until `stop`: this tab leads as soon as no other does. */
  start(): void {
    const { signal } = this.running;
    const lock = this.options.lock ?? withLock;
    lock("agentmesh.streams", () => this.lead(signal), { signal }).catch(() => undefined);
    const announce = () => this.announceAll();
    for (const event of ["focus", "blur"]) window.addEventListener(event, announce, { signal });
    document.addEventListener("visibilitychange", announce, { signal });
    window.addEventListener("pagehide", () => this.send({ kind: "closed", tab: this.tab }), { signal });
    const watchdog = setInterval(() => this.checkLeader(), 5_000);
    signal.addEventListener("abort", () => clearInterval(watchdog));
  }

  stop(): void {
    this.send({ kind: "closed", tab: this.tab });
    this.running.abort();
    for (const stream of this.streams.values()) stream.abort.abort();
    this.streams.clear();
    this.channel.close();
  }

  /** Follows a run until the returned function is called. */
  watchRun(runId: string, listener: RunListener): () => void {
    const subscription: Subscription = { id: randomId(), runId, listener };
    this.subscriptions.set(subscription.id, subscription);
    this.announce(subscription);
    return () => {
      this.subscriptions.delete(subscription.id);
      this.send({ kind: "unwant", id: subscription.id });
    };
  }

  /** Opens the run's stream again from where its listeners are, because one of them has missed something. */
  resync(runId: string): void {
    for (const subscription of this.subscriptions.values()) {
      if (subscription.runId !== runId) continue;
      this.send({ kind: "unwant", id: subscription.id });
      this.subscriptions.delete(subscription.id);
      const renamed = { ...subscription, id: randomId() };
      this.subscriptions.set(renamed.id, renamed);
      this.announce(renamed);
      return;
    }
  }

  onEvent(listener: (event: MeshEvent) => void): () => void {
    this.eventListeners.add(listener);
    return () => this.eventListeners.delete(listener);
  }

  /** Tells every other tab that what it shows about `topic` is out of date, because this one has changed it. */
  tellChanged(topic: string): void {
    this.channel.postMessage({ kind: "changed", topic } satisfies TabMessage);
  }

  onChanged(listener: (topic: string) => void): () => void {
    this.topicListeners.add(listener);
    return () => this.topicListeners.delete(listener);
  }

  private announceAll(): void {
    for (const subscription of this.subscriptions.values()) this.announce(subscription);
  }

  private announce({ id, runId, listener }: Subscription): void {
    const visible = document.visibilityState === "visible";
    const focusedAt = document.hasFocus() ? Date.now() : (this.wants.get(id)?.focusedAt ?? 0);
    const want: Want = { id, tab: this.tab, runId, cursor: listener.cursor(), visible, focusedAt };
    this.send({ kind: "want", want });
  }

  /** Sends to every tab, this one included. */
  private send(message: TabMessage): void {
    this.channel.postMessage(message);
    this.receive(message);
  }

  private receive(message: TabMessage): void {
    switch (message.kind) {
      case "want":
        this.wants.set(message.want.id, message.want);
        return this.plan();
      case "unwant":
        this.wants.delete(message.id);
        return this.plan();
      case "closed":
        for (const [id, want] of this.wants) if (want.tab === message.tab) this.wants.delete(id);
        return this.plan();
      case "leading":
        return this.announceAll();
      case "serving":
        return this.setDelivery(message.runs, message.lost);
      case "run":
        return this.deliver(message.runId, fromBinary(WatchRunResponseSchema, message.message));
      case "event":
        for (const listener of this.eventListeners) listener(message.event);
        return;
      case "changed":
        for (const listener of this.topicListeners) listener(message.topic);
    }
  }

  private deliver(runId: string, message: WatchRunResponse): void {
    for (const subscription of [...this.subscriptions.values()]) if (subscription.runId === runId) subscription.listener.message(message);
  }

  private setDelivery(runs: string[], lost: string[]): void {
    this.lastServing = Date.now();
    for (const { runId, listener } of this.subscriptions.values()) {
      listener.delivery(lost.includes(runId) ? "reconnecting" : runs.includes(runId) ? "stream" : "poll");
    }
  }

  /** A tab that hears nothing from a leading tab reads its runs by itself. */
  private checkLeader(): void {
    if (this.leads) this.tellServing();
    else if (Date.now() - this.lastServing > 12_000) for (const { listener } of this.subscriptions.values()) listener.delivery("poll");
  }

  private async lead(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    this.leads = true;
    this.send({ kind: "leading" });
    this.plan();
    await followEvents(this.options.openEvents, (event) => this.send({ kind: "event", event }), signal);
    this.leads = false;
  }

  /** Opens and closes the streams of runs so that they fit the wishes. */
  private plan(): void {
    if (!this.leads || this.running.signal.aborted) return;
    const chosen = chooseRuns(this.wants.values());
    for (const [runId, stream] of this.streams) {
      const ids = this.idsOf(runId);
      const joined = ids.some((id) => !stream.ids.has(id));
      if (chosen.includes(runId) && !joined) continue;
      this.streams.delete(runId);
      this.close(stream);
    }
    if (this.closing === 0) for (const runId of chosen) if (!this.streams.has(runId)) this.openStream(runId);
    this.tellServing();
  }

  private close(stream: OpenStream): void {
    this.closing += 1;
    stream.abort.abort();
    void stream.closed.finally(() => {
      this.closing -= 1;
      this.plan();
    });
  }

  private idsOf(runId: string): string[] {
    return [...this.wants.values()].filter((want) => want.runId === runId).map((want) => want.id);
  }

  private openStream(runId: string): void {
    const readers = [...this.wants.values()].filter((want) => want.runId === runId);
    const stream: OpenStream = { abort: new AbortController(), ids: new Set(readers.map((want) => want.id)), lost: false, closed: Promise.resolve() };
    this.streams.set(runId, stream);
    const current = () => this.streams.get(runId) === stream;
    const setLost = (lost: boolean) => {
      if (stream.lost === lost) return;
      stream.lost = lost;
      this.tellServing();
    };
    stream.closed = followRun(
      this.options.openRun,
      runId,
      earliest(readers.map((want) => want.cursor)),
      {
        message: (message) => {
          if (!current()) return;
          this.noteProgress(runId, message);
          setLost(false);
          this.send({ kind: "run", runId, message: toBinary(WatchRunResponseSchema, message) });
        },
        lost: () => current() && setLost(true),
        ended: () => {
          if (!current()) return;
          // The run is final, or cannot be watched: its tabs read it once more and stop.
          this.streams.delete(runId);
          for (const id of this.idsOf(runId)) this.wants.delete(id);
          this.plan();
        },
      },
      stream.abort.signal,
    );
  }

  /** A stream that is opened again for another tab need not begin where the first reader began. */
  private noteProgress(runId: string, message: WatchRunResponse): void {
    for (const want of this.wants.values()) {
      if (want.runId === runId && message.sequence > want.cursor.afterSequence) want.cursor = { ...want.cursor, afterSequence: message.sequence };
    }
  }

  private tellServing(): void {
    const lost = [...this.streams].filter(([, stream]) => stream.lost).map(([runId]) => runId);
    this.send({ kind: "serving", runs: [...this.streams.keys()], lost });
  }
}
