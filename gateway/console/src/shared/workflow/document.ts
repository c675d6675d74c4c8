import type { JsonObject } from "@bufbuild/protobuf";
import { parse, stringify } from "yaml";

import { ApprovalDecision, OnIncomplete, type Task, type Workflow } from "@gen/agentmesh/workflow/v1/workflow_pb";

// Workflows as people edit, export and import them. The names are those of the REST API, so that an exported file is the body of
// `POST /api/v1/workflows`.

export interface DraftApproval {
  message: string;
  timeout_seconds: number;
  default_decision: "approved" | "rejected";
}

export interface DraftTask {
  id: string;
  agent_id: string;
  input: string;
  context?: JsonObject;
  depends_on: string[];
  max_attempts: number;
  delay_seconds: number;
  backoff: number;
  timeout_seconds: number;
  on_incomplete: "fail" | "use";
  approval?: DraftApproval | undefined;
}

export interface Draft {
  name: string;
  tasks: DraftTask[];
}

export const EMPTY: Draft = { name: "", tasks: [] };

export function newTask(id: string, agentId = ""): DraftTask {
  return { id, agent_id: agentId, input: "", depends_on: [], max_attempts: 4, delay_seconds: 30, backoff: 1, timeout_seconds: 120, on_incomplete: "fail" };
}

export function newApproval(): DraftApproval {
  return { message: "", timeout_seconds: 86_400, default_decision: "rejected" };
}

/** A draft to begin from, of a workflow that exists. */
export function draftOf({ name, tasks }: Workflow): Draft {
  return { name, tasks: tasks.map(taskOf) };
}

function taskOf(task: Task): DraftTask {
  const { retry, approval, context } = task;
  return {
    id: task.id,
    agent_id: task.agentId,
    input: task.input,
    ...(context && { context }),
    depends_on: [...task.dependsOn],
    max_attempts: retry?.maxAttempts ?? 4,
    delay_seconds: retry?.delaySeconds ?? 30,
    backoff: retry?.backoff ?? 1,
    timeout_seconds: task.timeoutSeconds ?? 120,
    on_incomplete: task.onIncomplete === OnIncomplete.USE ? "use" : "fail",
    ...(approval && {
      approval: {
        message: approval.message,
        timeout_seconds: approval.timeoutSeconds ?? 86_400,
        default_decision: approval.defaultDecision === ApprovalDecision.APPROVED ? ("approved" as const) : ("rejected" as const),
      },
    }),
  };
}

/** The request that creates the workflow. */
export function requestOf({ name, tasks }: Draft) {
  return {
    name,
    tasks: tasks.map((task) => ({
      id: task.id,
      agentId: task.agent_id,
      input: task.input,
      ...(task.context && { context: task.context }),
      dependsOn: task.depends_on,
      retry: { maxAttempts: task.max_attempts, delaySeconds: task.delay_seconds, backoff: task.backoff },
      timeoutSeconds: task.timeout_seconds,
      onIncomplete: task.on_incomplete === "use" ? OnIncomplete.USE : OnIncomplete.FAIL,
      ...(task.approval && {
        approval: {
          message: task.approval.message,
          timeoutSeconds: task.approval.timeout_seconds,
          defaultDecision: task.approval.default_decision === "approved" ? ApprovalDecision.APPROVED : ApprovalDecision.REJECTED,
        },
      }),
    })),
  };
}

/** The body of `POST /api/v1/workflows`. */
function document({ name, tasks }: Draft) {
  return {
    name,
    tasks: tasks.map(({ max_attempts, delay_seconds, backoff, on_incomplete, approval, ...task }) => ({
      ...task,
      retry: { max_attempts, delay_seconds, backoff },
      on_incomplete: on_incomplete === "use" ? "ON_INCOMPLETE_USE" : "ON_INCOMPLETE_FAIL",
      ...(approval && { approval: { ...approval, default_decision: `APPROVAL_DECISION_${approval.default_decision.toUpperCase()}` } }),
    })),
  };
}

export function toYaml(draft: Draft): string {
  return stringify(document(draft), { lineWidth: 100 });
}

export function toJson(draft: Draft): string {
  return JSON.stringify(document(draft), null, 2) + "\n";
}

/** Reads an exported file, in YAML or JSON. Throws an Error that says what is wrong. */
export function fromText(text: string): Draft {
  const given: unknown = parse(text);
  if (!isObject(given) || !Array.isArray(given.tasks)) throw new Error("The file has no list of tasks. Export a workflow to see the form.");
  const tasks = given.tasks.map((each: unknown, index) => {
    if (!isObject(each) || typeof each.id !== "string") throw new Error(`tasks[${index}] has no id. Give it a name of its own.`);
    const retry = isObject(each.retry) ? each.retry : {};
    const approval = isObject(each.approval) ? each.approval : undefined;
    const plain = newTask(each.id, textOf(each.agent_id));
    return {
      ...plain,
      input: textOf(each.input),
      ...(isObject(each.context) && { context: each.context as JsonObject }),
      depends_on: Array.isArray(each.depends_on) ? each.depends_on.filter((one) => typeof one === "string") : [],
      max_attempts: number(retry.max_attempts, plain.max_attempts),
      delay_seconds: number(retry.delay_seconds, plain.delay_seconds),
      backoff: number(retry.backoff, plain.backoff),
      timeout_seconds: number(each.timeout_seconds, plain.timeout_seconds),
      on_incomplete: each.on_incomplete === "ON_INCOMPLETE_USE" ? ("use" as const) : ("fail" as const),
      ...(approval && {
        approval: {
          message: textOf(approval.message),
          timeout_seconds: number(approval.timeout_seconds, 86_400),
          default_decision: approval.default_decision === "APPROVAL_DECISION_APPROVED" ? ("approved" as const) : ("rejected" as const),
        },
      }),
    };
  });
  return { name: textOf(given.name), tasks };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function number(value: unknown, otherwise: number): number {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}
