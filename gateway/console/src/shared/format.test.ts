import { expect, it } from "vitest";

import { toCsv } from "./csv";
import { bytes, compact, duration, money, percent, relativeTime, words } from "./format";
import { splitBlocks } from "./markdown/blocks";
import { whenToPick } from "./when";

it.each([
  [0, "$0"],
  [40, "<$0.0001"],
  [6_700, "$0.0067"],
  [65_000, "$0.065"],
  [12_400_000, "$12.40"],
  [1_234_500_000n, "$1,234.50"],
])("%s micro-dollars are %s", (value, expected) => expect(money(value)).toBe(expected));

it.each([
  [0.0824, "82 ms"],
  [4.21, "4.2 s"],
  [59, "59 s"],
  [60, "1 m"],
  [192, "3 m 12 s"],
  [7_500, "2 h 5 m"],
  [273_600, "3 d 4 h"],
])("%s seconds are %s", (value, expected) => expect(duration(value)).toBe(expected));

it.each([
  [950, "950"],
  [12_400, "12.4k"],
  [999_960, "1M"],
  [3_140_000, "3.1M"],
])("%s is %s in short", (value, expected) => expect(compact(value)).toBe(expected));

it("a share is 100 % only if nothing is missing", () => {
  expect([percent(1), percent(0.99999), percent(0.0123)]).toEqual(["100 %", "99.9 %", "1.23 %"]);
});

it("sizes have units", () => expect([bytes(812), bytes(5_240_000)]).toEqual(["812 B", "5.2 MB"]));

it("relative times name one unit, before and after now", () => {
  const now = new Date("2026-11-28T12:00:00Z");
  const at = (seconds: number) => relativeTime(new Date(now.getTime() - seconds * 1000), now);
  expect([at(3), at(42), at(190), at(7_300), at(90_000), at(-7_300)]).toEqual(["just now", "42 s ago", "3 min ago", "2 h ago", "1 day ago", "in 2 h"]);
  expect(at(40 * 86_400)).toBe("19 Oct 2026");
});

it("names of the catalogue become words", () => {
  expect([words("seo_strategist"), words("data-and-ai"), words("ios")]).toEqual(["SEO strategist", "Data and AI", "iOS"]);
});

it("the card takes the sentence that says when to pick the agent", () => {
  const description = "Writes schema.org markup for pages. Pick it to mark up products,\n  events or jobs. Not for audits.";
  expect(whenToPick(description)).toEqual({ when: "To mark up products, events or jobs.", what: "Writes schema.org markup for pages." });
  expect(whenToPick("Answers questions.")).toEqual({ when: "Answers questions.", what: "" });
});

it("CSV quotes what needs it, and no cell is run as a formula", () => {
  const columns = [
    { heading: "name", value: (row: { name: string; at: Date }) => row.name },
    { heading: "at, UTC", value: (row: { name: string; at: Date }) => row.at },
  ];
  const rows = [{ name: '=HYPERLINK("x")', at: new Date("2026-11-28T12:00:00Z") }];
  expect(toCsv(columns, rows)).toBe('name,"at, UTC"\r\n"\'=HYPERLINK(""x"")",2026-11-28T12:00:00.000Z\r\n');
});

it("Markdown is split between blocks, never inside a fence or a list", () => {
  const blocks = ["# Title\nlead", "- one\n\n  still one\n- two", "```py\na\n\nb\n```", "after"];
  expect(splitBlocks(blocks.join("\n\n")).map((block) => block.trim())).toEqual(blocks);
  expect(splitBlocks("```\nunfinished\n\nfence")).toHaveLength(1);
});
