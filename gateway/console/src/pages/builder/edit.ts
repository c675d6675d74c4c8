import type { Draft, DraftTask } from "@/shared/workflow/document";
import { newTask } from "@/shared/workflow/document";

// Changes of a draft. Each returns a new draft.

export function changeTask(draft: Draft, id: string, part: Partial<DraftTask>): Draft {
  return { ...draft, tasks: draft.tasks.map((task) => (task.id === id ? { ...task, ...part } : task)) };
}

/** Adds a task for the agent, under an id made from its name. */
export function addTask(draft: Draft, agentId: string, name: string): { draft: Draft; id: string } {
  const id = freeId(draft, idFrom(name));
  return { draft: { ...draft, tasks: [...draft.tasks, newTask(id, agentId)] }, id };
}

/** Removes a task, and the other tasks' dependence on it. References to its result stay in the texts, where they are reported. */
export function removeTask(draft: Draft, id: string): Draft {
  const tasks = draft.tasks.filter((task) => task.id !== id);
  return { ...draft, tasks: tasks.map((task) => ({ ...task, depends_on: task.depends_on.filter((before) => before !== id) })) };
}

/** Renames a task wherever it is named: in dependencies and in references to its result. */
export function renameTask(draft: Draft, from: string, to: string): Draft {
  const reference = new RegExp(`\\{\\{\\s*tasks\\.${escaped(from)}\\.result\\s*\\}\\}`, "g");
  return {
    ...draft,
    tasks: draft.tasks.map((task) => ({
      ...task,
      id: task.id === from ? to : task.id,
      depends_on: task.depends_on.map((before) => (before === from ? to : before)),
      input: task.input.replaceAll(reference, () => referenceTo(to)),
    })),
  };
}

/** Puts a reference to the result of `other` at a place in the task's input, and lets the task depend on it. */
export function insertReference(draft: Draft, id: string, other: string, at: number): Draft {
  const task = draft.tasks.find((each) => each.id === id);
  if (!task) return draft;
  const input = task.input.slice(0, at) + referenceTo(other) + task.input.slice(at);
  return changeTask(draft, id, { input, depends_on: [...new Set([...task.depends_on, other])] });
}

/** The tasks that may come before this one: all that do not depend on it, directly or through others. */
export function possibleBefore(draft: Draft, id: string): string[] {
  const after = new Set([id]);
  for (let grown = true; grown; ) {
    grown = false;
    for (const task of draft.tasks) {
      if (!after.has(task.id) && task.depends_on.some((before) => after.has(before))) {
        after.add(task.id);
        grown = true;
      }
    }
  }
  return draft.tasks.map((task) => task.id).filter((each) => !after.has(each));
}

export function referenceTo(id: string): string {
  return `{{tasks.${id}.result}}`;
}

export function validId(id: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(id);
}

function idFrom(name: string): string {
  const words = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "_").replaceAll(/^[^a-z]+|_$/g, "");
  return words.slice(0, 40) || "task";
}

function freeId(draft: Draft, wanted: string): string {
  const taken = new Set(draft.tasks.map(({ id }) => id));
  if (!taken.has(wanted)) return wanted;
  for (let number = 2; ; number += 1) if (!taken.has(`${wanted}_${number}`)) return `${wanted}_${number}`;
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
