import { describe, expect, it } from "vitest";

import { EMPTY, type Draft } from "@/shared/workflow/document";
import { addTask, changeTask, insertReference, possibleBefore, removeTask, renameTask } from "./edit";

function draft(...names: string[]): Draft {
  return names.reduce((made, name) => addTask(made, "an_agent_1_1", name).draft, EMPTY);
}

describe("addTask", () => {
  it("makes an id from the agent's name that no other task has", () => {
    expect(draft("SEO Strategist", "SEO Strategist", "3D Artist", "!").tasks.map(({ id }) => id)).toEqual(["seo_strategist", "seo_strategist_2", "d_artist", "task"]);
  });
});

describe("insertReference", () => {
  it("puts the reference where the cursor is, and adds the dependency once", () => {
    let made = changeTask(draft("a", "b"), "b", { input: "Use it." });
    made = insertReference(made, "b", "a", 4);
    made = insertReference(made, "b", "a", 0);
    expect(made.tasks[1]).toMatchObject({ input: "{{tasks.a.result}}Use {{tasks.a.result}}it.", depends_on: ["a"] });
  });
});

describe("renameTask", () => {
  it("follows dependencies and references, and only whole ids", () => {
    const made = changeTask(draft("a", "ab", "c"), "c", { input: "{{tasks.a.result}} {{ tasks.a.result }} {{tasks.ab.result}}", depends_on: ["a", "ab"] });
    expect(renameTask(made, "a", "$&x").tasks[2]).toMatchObject({
      input: "{{tasks.$&x.result}} {{tasks.$&x.result}} {{tasks.ab.result}}",
      depends_on: ["$&x", "ab"],
    });
  });
});

describe("removeTask", () => {
  it("leaves no dependency on it", () => {
    expect(removeTask(changeTask(draft("a", "b"), "b", { depends_on: ["a"] }), "a").tasks).toMatchObject([{ id: "b", depends_on: [] }]);
  });
});

describe("possibleBefore", () => {
  it("leaves out what comes after, so that no cycle can be drawn", () => {
    let made = draft("a", "b", "c", "d");
    made = changeTask(made, "b", { depends_on: ["a"] });
    made = changeTask(made, "c", { depends_on: ["b"] });
    expect(possibleBefore(made, "a")).toEqual(["d"]);
    expect(possibleBefore(made, "c")).toEqual(["a", "b", "d"]);
  });
});
