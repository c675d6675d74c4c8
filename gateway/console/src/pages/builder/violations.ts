import { problemOf, type Violation } from "@/api/errors";
import type { Draft } from "@/shared/workflow/document";

/** The server's violations by the task that they are about, and those about the workflow as a whole. */
export interface Marked {
  byTask: Map<string, Violation[]>;
  others: Violation[];
}

/** Sorts the violations of a refused workflow: `tasks[2].input` belongs to the third task of the draft that was sent. */
export function markedBy(error: unknown, sent: Draft | undefined): Marked {
  const marked: Marked = { byTask: new Map(), others: [] };
  if (!error) return marked;
  for (const violation of problemOf(error).violations) {
    const [, index, field] = /^tasks\[(\d+)\]\.?(.*)$/.exec(violation.field) ?? [];
    const id = index === undefined ? undefined : sent?.tasks[Number(index)]?.id;
    if (id === undefined) marked.others.push(violation);
    else marked.byTask.set(id, [...(marked.byTask.get(id) ?? []), { ...violation, field: field || "task" }]);
  }
  return marked;
}

/** What the server says about one field of a task, e.g. `input` or `retry.max_attempts`. */
export function about(violations: readonly Violation[], ...fields: string[]): string | undefined {
  const found = violations.filter(({ field }) => fields.some((each) => field === each || field.startsWith(`${each}.`) || field.startsWith(`${each}[`)));
  return found.length > 0 ? found.map(({ description }) => sentence(description)).join(" ") : undefined;
}

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
