import { describe, expect, it } from "vitest";

import { fieldsOf, toContext, toEntered } from "./fields";
import { validate } from "./validate";

const SCHEMA = {
  type: "object",
  required: ["brand", "tone"],
  properties: {
    brand: { type: "string", description: "Who sends it.", minLength: 2 },
    tone: { type: "string", enum: ["plain", "formal"] },
    budget: { type: "number", minimum: 0 },
    people: { type: "integer" },
    urgent: { type: "boolean" },
    markets: { type: "array", items: { type: "string" }, maxItems: 2 },
    audience: { type: "object", required: ["age"], properties: { age: { type: "string" } } },
    extra: { type: "array", items: { type: "object" } },
  },
};

const FIELDS = fieldsOf(SCHEMA);

describe("a form from a schema", () => {
  it("has a field of the right kind for every property", () => {
    expect(FIELDS.map(({ id, kind, required }) => [id, kind, required])).toEqual([
      ["brand", "text", true],
      ["tone", "choice", true],
      ["budget", "number", false],
      ["people", "integer", false],
      ["urgent", "boolean", false],
      ["markets", "list", false],
      ["audience/age", "text", true],
      ["extra", "json", false],
    ]);
    expect(FIELDS[6]?.label).toBe("Audience › Age");
  });

  it("has no fields without a schema", () => {
    expect([fieldsOf(undefined), fieldsOf({})]).toEqual([[], []]);
  });

  it("converts what was entered, leaves empty fields out, and back", () => {
    const entered = { brand: "Acme", budget: " 12.5 ", urgent: false, markets: ["DE"], "audience/age": "40+", people: "", extra: '[{"a": 1}]' };
    const { context, errors } = toContext(FIELDS, entered);
    expect(errors).toEqual({});
    expect(context).toEqual({ brand: "Acme", budget: 12.5, urgent: false, markets: ["DE"], audience: { age: "40+" }, extra: [{ a: 1 }] });
    expect(toEntered(FIELDS, context)).toEqual({ brand: "Acme", budget: "12.5", urgent: false, markets: ["DE"], "audience/age": "40+", extra: '[{"a":1}]' });
  });

  it("reports what cannot be converted at its field", () => {
    expect(toContext(FIELDS, { budget: "much", extra: "{" }).errors).toMatchObject({ budget: "Enter a number.", extra: expect.stringContaining("not valid JSON") });
  });
});

describe("validation", () => {
  it("accepts a context that satisfies the schema, and anything without one", () => {
    expect(validate(SCHEMA, { brand: "Acme", tone: "plain" })).toEqual({});
    expect(validate(undefined, { anything: 1 })).toEqual({});
  });

  it("names each field with what to do", () => {
    const context = { brand: "A", budget: -1, people: 1.5, markets: ["DE", "FR", "IT"], audience: {} };
    expect(validate(SCHEMA, context)).toEqual({
      tone: "This field is required.",
      brand: "Enter more text.",
      budget: "Enter at least 0.",
      people: "Enter a whole number.",
      markets: "Enter fewer values.",
      "audience/age": "This field is required.",
    });
  });
});
