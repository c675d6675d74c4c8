import { create } from "@bufbuild/protobuf";

import { RunSchema, RunStatus, type Run, type Step } from "@gen/agentmesh/workflow/v1/workflow_pb";
import type { StepLive, WatchRunResponse } from "@gen/agentmesh/workflow/v1/workflow_service_pb";

/** The answer of a running step as far as it has been written. */
export interface LiveAnswer {
  stepId: string;
  executionId: string;
  attempt: number;
  text: string;
  /** How many characters (Unicode code points) `text` has. */
  characters: number;
  /** Whether the rest of the answer comes only with the completed step. */
  truncated: boolean;
}

/** A run as far as this browser knows it. */
export interface RunState {
  run: Run;
  live: LiveAnswer | undefined;
}

/** Where a watch resumes. */
export interface RunCursor {
  afterSequence: number;
  liveExecutionId: string;
  liveOffset: number;
}

/** What a message did: `gap` means that something before it is missing, and that the run must be read anew. */
export type Applied = { state: RunState; gap: boolean };

const FINAL = new Set([RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED]);

export function isFinal(run: Run): boolean {
  return FINAL.has(run.status);
}

export function cursorOf({ run, live }: RunState): RunCursor {
  return { afterSequence: run.sequence, liveExecutionId: live?.executionId ?? "", liveOffset: live?.characters ?? 0 };
}

/** Applies one message of a watch. A message that was applied before changes nothing. */
export function applyMessage(state: RunState, message: WatchRunResponse): Applied {
  const { event, sequence } = message;
  if (event.case === "live") return applyLive(state, event.value);
  if (event.case !== "run" && event.case !== "step") return { state, gap: false };
  if (sequence <= state.run.sequence) return { state, gap: false };
  const gap = sequence > state.run.sequence + 1;
  if (event.case === "run") {
    const { run } = event.value;
    return run ? { state: { ...state, run: withSteps(run, state.run, sequence) }, gap } : { state, gap };
  }
  const { step } = event.value;
  return step ? { state: withStep(state, step, sequence), gap } : { state, gap };
}

/** Takes a run that was just read, unless this browser already knows a later state of it. */
export function adoptRun(state: RunState | undefined, run: Run): RunState {
  if (!state) return { run, live: undefined };
  if (run.sequence < state.run.sequence) return state;
  const running = run.steps.some((step) => step.executionId === state.live?.executionId && !step.finishedAt);
  return { run, live: running ? state.live : undefined };
}

/** A change of the run comes without its steps. */
function withSteps(run: Run, known: Run, sequence: number): Run {
  return create(RunSchema, { ...run, steps: known.steps, sequence, resultsOmitted: known.resultsOmitted });
}

function withStep({ run, live }: RunState, step: Step, sequence: number): RunState {
  const steps = run.steps.map((each) => (each.taskId === step.taskId ? step : each));
  const ended = live?.stepId === step.taskId && step.finishedAt !== undefined;
  return { run: create(RunSchema, { ...run, steps, sequence }), live: ended ? undefined : live };
}

function applyLive(state: RunState, { stepId, executionId, attempt, text }: StepLive): Applied {
  if (!text) return { state, gap: false };
  // A piece that arrives after its step has ended: the step has the whole answer.
  const step = state.run.steps.find((each) => each.taskId === stepId);
  if (step?.finishedAt) return { state, gap: false };
  const known = state.live?.executionId === executionId ? state.live : undefined;
  const have = known?.characters ?? 0;
  if (text.offset > have) return { state, gap: true };
  if (known && text.nextOffset <= have && text.truncated === known.truncated) return { state, gap: false };
  const fresh = text.offset === have ? text.text : Array.from(text.text).slice(have - text.offset).join("");
  const live: LiveAnswer = {
    stepId,
    executionId,
    attempt,
    text: (known?.text ?? "") + fresh,
    characters: Math.max(have, text.nextOffset),
    truncated: text.truncated,
  };
  return { state: { ...state, live }, gap: false };
}
