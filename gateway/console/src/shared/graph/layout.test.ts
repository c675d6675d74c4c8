import { describe, expect, it } from "vitest";

import { placesOf } from "./layout";

describe("placesOf", () => {
  it("puts a task to the right of those that it depends on", () => {
    const places = placesOf([
      { id: "post", dependsOn: ["plan", "searches"] },
      { id: "plan", dependsOn: [] },
      { id: "searches", dependsOn: [] },
    ]);
    expect(places.get("post")!.x).toBeGreaterThan(places.get("plan")!.x);
    expect(places.get("plan")!.x).toBe(places.get("searches")!.x);
    expect(places.get("plan")!.y).not.toBe(places.get("searches")!.y);
  });

  it("puts tasks that begin at once into the first column", () => {
    const places = placesOf([
      { id: "a", dependsOn: [] },
      { id: "b", dependsOn: ["a"] },
      { id: "alone", dependsOn: [] },
      { id: "c", dependsOn: ["b"] },
      { id: "late", dependsOn: ["a"] },
    ]);
    const column = (id: string) => places.get(id)!.x;
    expect(column("alone")).toBe(column("a"));
    expect(column("late")).toBe(column("b"));
    expect(column("c")).toBeGreaterThan(column("b"));
  });

  it("survives what a draft may have: unknown tasks, itself, and a cycle", () => {
    const places = placesOf([
      { id: "a", dependsOn: ["a", "gone", "b"] },
      { id: "b", dependsOn: ["a"] },
    ]);
    expect([...places.keys()]).toEqual(["a", "b"]);
  });

  it("places the largest workflow", () => {
    const nodes = Array.from({ length: 100 }, (_, index) => ({ id: `t${index}`, dependsOn: index < 10 ? [] : [`t${index - 10}`, `t${index - 9}`] }));
    expect(placesOf(nodes).size).toBe(100);
  });
});
