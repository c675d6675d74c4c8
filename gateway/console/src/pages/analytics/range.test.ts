import { describe, expect, it } from "vitest";

import { Interval } from "@gen/agentmesh/analytics/v1/analytics_pb";
import { change, intervalOf, previous, rangeOf } from "./range";

const NOW = new Date("2026-11-28T10:07:00Z");

describe("rangeOf", () => {
  it("ends at the next quarter of an hour", () => {
    expect(rangeOf({}, NOW)).toEqual({ from: new Date("2026-11-21T10:15:00Z"), to: new Date("2026-11-28T10:15:00Z") });
  });

  it("prefers the range of its own", () => {
    const range = rangeOf({ range: "90d", from: "2026-10-01T00:00:00Z", to: "2026-10-02T00:00:00Z" }, NOW);
    expect(range).toEqual({ from: new Date("2026-10-01T00:00:00Z"), to: new Date("2026-10-02T00:00:00Z") });
  });

  it.each([
    ["2026-10-02T00:00:00Z", "2026-10-01T00:00:00Z"],
    ["2027-01-01T00:00:00Z", undefined],
  ])("ignores a range that ends before it begins (%s to %s)", (from, to) => {
    expect(rangeOf(to ? { from, to } : { from }, NOW)).toEqual(rangeOf({}, NOW));
  });
});

describe("previous", () => {
  it("has the same length and ends where the range begins", () => {
    expect(previous(rangeOf({ range: "24h" }, NOW))).toEqual({ from: new Date("2026-11-26T10:15:00Z"), to: new Date("2026-11-27T10:15:00Z") });
  });
});

describe("intervalOf", () => {
  it.each([
    ["24h", Interval.QUARTER_HOUR],
    ["7d", Interval.HOUR],
    ["30d", Interval.DAY],
    ["90d", Interval.DAY],
    ["365d", Interval.WEEK],
  ] as const)("of %s", (range, interval) => {
    expect(intervalOf(rangeOf({ range }, NOW))).toBe(interval);
  });
});

describe("change", () => {
  it.each([
    [112, 100, "+12 %"],
    [88, 100, "−12 %"],
    [100, 100, "±0 %"],
    [0, 100, "−100 %"],
    [2_000, 100, "20×"],
    [5, 0, undefined],
  ])("to %d from %d", (now, before, words) => {
    expect(change(now, before)).toBe(words);
  });
});
