import type { RunCursor } from "./runState";

/**
 * How many streams all tabs of a browser hold together. A browser opens six connections to a plain-HTTP host; streams keep theirs, so two
 * leave four for calls.
 */
export const MAX_STREAMS = 2;
/** One of them carries the events that keep lists and approvals current. */
export const MAX_RUN_STREAMS = MAX_STREAMS - 1;

/** A tab's wish to follow a run. */
export interface Want {
  id: string;
  tab: string;
  runId: string;
  cursor: RunCursor;
  visible: boolean;
  /** When the tab last had the focus, in milliseconds since 1970. */
  focusedAt: number;
}

/** The runs to stream: those of the tabs that the user looked at last. The others are read every few seconds by their own tabs. */
export function chooseRuns(wants: Iterable<Want>): string[] {
  const byAttention = [...wants].sort((a, b) => Number(b.visible) - Number(a.visible) || b.focusedAt - a.focusedAt);
  return [...new Set(byAttention.map((want) => want.runId))].slice(0, MAX_RUN_STREAMS);
}

/** A cursor from which no reader misses anything. Readers ignore what they already have. */
export function earliest(cursors: readonly RunCursor[]): RunCursor {
  const afterSequence = Math.min(...cursors.map((cursor) => cursor.afterSequence));
  const [first] = cursors;
  const sameExecution = first && cursors.every((cursor) => cursor.liveExecutionId === first.liveExecutionId);
  if (!sameExecution) return { afterSequence, liveExecutionId: "", liveOffset: 0 };
  const liveOffset = Math.min(...cursors.map((cursor) => cursor.liveOffset));
  return { afterSequence, liveExecutionId: first.liveExecutionId, liveOffset };
}

/** The pause before a lost stream is opened again: 0.5 s, 1 s, 2 s, … 15 s, each up to a quarter longer. */
export function backoff(failures: number, random: () => number = Math.random): number {
  return Math.min(15_000, 500 * 2 ** failures) * (1 + random() / 4);
}
