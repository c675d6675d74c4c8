import { describe, expect, it } from "vitest";

import { fromText, newApproval, newTask, toJson, toYaml, type Draft } from "./document";

const DRAFT: Draft = {
  name: "Launch",
  tasks: [
    { ...newTask("plan", "marketing_content_strategist_agent_1_11"), input: "Plan: a month\n- of posts", context: { budget: 3, markets: ["DE", "FR"] } },
    {
      ...newTask("post", "marketing_copywriter_agent_1_21"),
      input: "Write.\n\n{{tasks.plan.result}}",
      depends_on: ["plan"],
      max_attempts: 2,
      delay_seconds: 0,
      backoff: 1.5,
      timeout_seconds: 300,
      on_incomplete: "use",
      approval: { ...newApproval(), message: "Publish?", default_decision: "approved" },
    },
  ],
};

describe("an exported workflow", () => {
  it.each([
    ["YAML", toYaml],
    ["JSON", toJson],
  ])("is imported from %s as it was", (_, write) => {
    expect(fromText(write(DRAFT))).toEqual(DRAFT);
  });

  it("has the names of the REST API", () => {
    const body = JSON.parse(toJson(DRAFT)) as { tasks: Record<string, unknown>[] };
    expect(body.tasks[1]).toMatchObject({
      id: "post",
      depends_on: ["plan"],
      retry: { max_attempts: 2, delay_seconds: 0, backoff: 1.5 },
      on_incomplete: "ON_INCOMPLETE_USE",
      approval: { message: "Publish?", timeout_seconds: 86400, default_decision: "APPROVAL_DECISION_APPROVED" },
    });
  });
});

describe("a file by hand", () => {
  it("may leave out what has a default", () => {
    expect(fromText("name: x\ntasks:\n  - {id: a, agent_id: b, input: c}\n")).toEqual({ name: "x", tasks: [{ ...newTask("a", "b"), input: "c" }] });
  });

  it.each([
    ["hello", "no list of tasks"],
    ["tasks: 3", "no list of tasks"],
    ["tasks: [{input: x}]", "tasks[0] has no id"],
  ])("is refused with the reason: %s", (text, reason) => {
    expect(() => fromText(text)).toThrow(reason);
  });
});
