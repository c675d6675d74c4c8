import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";

import { RunSchema, RunStatus, StepSchema, StepStatus } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { WatchRunResponseSchema, type WatchRunResponse } from "@gen/agentmesh/workflow/v1/workflow_service_pb";
import { adoptRun, applyMessage, cursorOf, type RunState } from "./runState";

const ENDED = timestampFromDate(new Date("2026-11-28T10:00:00Z"));

function start(): RunState {
  const steps = [create(StepSchema, { taskId: "a", status: StepStatus.RUNNING }), create(StepSchema, { taskId: "b" })];
  return { run: create(RunSchema, { runId: "r", status: RunStatus.RUNNING, sequence: 3, steps }), live: undefined };
}

function step(sequence: number, taskId: string, status: StepStatus, result = ""): WatchRunResponse {
  const finishedAt = status === StepStatus.COMPLETED ? ENDED : undefined;
  return create(WatchRunResponseSchema, { sequence, event: { case: "step", value: { step: { taskId, status, result, ...(finishedAt && { finishedAt }) } } } });
}

function live(offset: number, text: string, executionId = "e1", attempt = 1): WatchRunResponse {
  const value = { stepId: "a", executionId, attempt, text: { offset, text, nextOffset: offset + [...text].length } };
  return create(WatchRunResponseSchema, { sequence: 3, event: { case: "live", value } });
}

function applyAll(state: RunState, ...messages: WatchRunResponse[]): RunState {
  return messages.reduce((current, message) => applyMessage(current, message).state, state);
}

describe("changes of a run", () => {
  it("are applied in order, and the steps stay when the run changes", () => {
    const run = create(WatchRunResponseSchema, { sequence: 5, event: { case: "run", value: { run: { runId: "r", status: RunStatus.COMPLETED } } } });
    const state = applyAll(start(), step(4, "a", StepStatus.COMPLETED, "done"), run);
    expect(state.run).toMatchObject({ status: RunStatus.COMPLETED, sequence: 5 });
    expect(state.run.steps.map((each) => each.result)).toEqual(["done", ""]);
  });

  it("are ignored when they arrive again after a lost connection", () => {
    const once = applyAll(start(), step(4, "a", StepStatus.COMPLETED, "done"), step(5, "b", StepStatus.RUNNING));
    expect(applyAll(once, step(4, "a", StepStatus.RUNNING), step(5, "b", StepStatus.RUNNING))).toBe(once);
  });

  it("report a gap when one of them is missing", () => {
    expect(applyMessage(start(), step(4, "a", StepStatus.RUNNING)).gap).toBe(false);
    expect(applyMessage(start(), step(6, "a", StepStatus.RUNNING)).gap).toBe(true);
  });

  it("do not follow heartbeats and the end of the watch", () => {
    const done = create(WatchRunResponseSchema, { sequence: 3, event: { case: "done", value: { status: RunStatus.COMPLETED } } });
    const state = start();
    expect(applyMessage(state, done)).toEqual({ state, gap: false });
  });
});

describe("the text of a running step", () => {
  it("grows, and characters beyond the first plane count once", () => {
    const state = applyAll(start(), live(0, "Hi 👋"), live(4, " there"));
    expect(state.live).toMatchObject({ text: "Hi 👋 there", characters: 10 });
    expect(cursorOf(state)).toEqual({ afterSequence: 3, liveExecutionId: "e1", liveOffset: 10 });
  });

  it("is not repeated when pieces arrive again or overlap", () => {
    const state = applyAll(start(), live(0, "Hi 👋"), live(0, "Hi 👋"), live(3, "👋 you"));
    expect(state.live?.text).toBe("Hi 👋 you");
  });

  it("reports a gap when a piece is missing", () => {
    expect(applyMessage(start(), live(7, "later")).gap).toBe(true);
  });

  it("begins anew with another execution", () => {
    const state = applyAll(start(), live(0, "first try"), live(0, "second", "e2", 2));
    expect(state.live).toMatchObject({ text: "second", attempt: 2 });
  });

  it("gives way to the whole result, and pieces that come later are ignored", () => {
    const state = applyAll(start(), live(0, "part"), step(4, "a", StepStatus.COMPLETED, "the whole"), live(4, " more"));
    expect(state.live).toBeUndefined();
    expect(state.run.steps[0]?.result).toBe("the whole");
  });
});

it("a run that was read never replaces a later state", () => {
  const known = applyAll(start(), step(4, "a", StepStatus.COMPLETED, "done"));
  expect(adoptRun(known, start().run)).toBe(known);
  expect(adoptRun(known, create(RunSchema, { runId: "r", sequence: 9 })).run.sequence).toBe(9);
});
