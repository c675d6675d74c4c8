import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { WatchRunResponseSchema, type WatchRunResponse } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { backoff, chooseRuns, earliest, type Want } from "./plan";
import type { RunCursor } from "./runState";
import { followRun } from "./runStream";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const START: RunCursor = { afterSequence: 2, liveExecutionId: "", liveOffset: 0 };

function change(sequence: number): WatchRunResponse {
  return create(WatchRunResponseSchema, { sequence, event: { case: "step", value: { step: { taskId: "a" } } } });
}

function text(sequence: number, offset: number, piece: string): WatchRunResponse {
  const value = { stepId: "a", executionId: "e", attempt: 1, text: { offset, text: piece, nextOffset: offset + piece.length } };
  return create(WatchRunResponseSchema, { sequence, event: { case: "live", value } });
}

const done = (sequence: number) => create(WatchRunResponseSchema, { sequence, event: { case: "done", value: {} } });

/** Follows a run whose connections answer `answers`, one after the other. */
async function follow(answers: (WatchRunResponse | Error)[][]) {
  const requests: RunCursor[] = [];
  const received: WatchRunResponse[] = [];
  const lost = vi.fn();
  const ended = vi.fn();
  async function* open({ runId: _, ...cursor }: { runId: string } & RunCursor) {
    requests.push(cursor);
    for (const answer of answers[requests.length - 1] ?? []) {
      if (answer instanceof Error) throw answer;
      yield answer;
    }
  }
  const following = followRun(open, "r", START, { message: (message) => received.push(message), lost, ended }, new AbortController().signal);
  await vi.runAllTimersAsync();
  await following;
  return { requests, received, lost, ended };
}

it("continues after the last change and the last character when the connection is lost", async () => {
  const { requests, received, lost, ended } = await follow([
    [change(3), text(3, 0, "abc"), new ConnectError("gone", Code.Unavailable)],
    [change(4)],
    [change(5), done(5)],
  ]);
  expect(requests).toEqual([
    START,
    { afterSequence: 3, liveExecutionId: "e", liveOffset: 3 },
    { afterSequence: 4, liveExecutionId: "e", liveOffset: 3 },
  ]);
  expect(received.map((message) => message.sequence)).toEqual([3, 3, 4, 5, 5]);
  expect(lost).toHaveBeenCalledTimes(2);
  expect(ended).toHaveBeenCalledExactlyOnceWith(undefined);
});

it("ends when the run does not exist, and does not ask again", async () => {
  const error = new ConnectError("no such run", Code.NotFound);
  const { requests, ended } = await follow([[error]]);
  expect(requests).toHaveLength(1);
  expect(ended).toHaveBeenCalledExactlyOnceWith(error);
});

it("waits longer after each failure, up to fifteen seconds", () => {
  expect([0, 1, 2, 9].map((failures) => backoff(failures, () => 0))).toEqual([500, 1000, 2000, 15_000]);
});

it("gives the stream to the run of the tab that the user looked at last", () => {
  const want = (runId: string, visible: boolean, focusedAt: number): Want => ({ id: runId, tab: runId, runId, cursor: START, visible, focusedAt });
  expect(chooseRuns([want("old", true, 10), want("hidden", false, 99), want("new", true, 20)])).toEqual(["new"]);
  expect(chooseRuns([want("hidden", false, 99)])).toEqual(["hidden"]);
});

it("opens a shared stream where no reader misses anything", () => {
  const at = (afterSequence: number, liveExecutionId: string, liveOffset: number): RunCursor => ({ afterSequence, liveExecutionId, liveOffset });
  expect(earliest([at(5, "e", 40), at(3, "e", 12)])).toEqual(at(3, "e", 12));
  expect(earliest([at(5, "e", 40), at(3, "", 0)])).toEqual(at(3, "", 0));
});
