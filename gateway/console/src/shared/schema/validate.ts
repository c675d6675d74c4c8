import type { JsonObject } from "@bufbuild/protobuf";
import { Validator, type OutputUnit } from "@cfworker/json-schema";

/** Why a context does not satisfy a schema, by the id of the field (`""` for the whole), in words. */
export function validate(schema: JsonObject | undefined, context: JsonObject): Record<string, string> {
  const errors: Record<string, string> = {};
  if (!schema || Object.keys(schema).length === 0) return errors;
  // This validator interprets the schema; one that compiles it would need eval, which the Content-Security-Policy forbids.
  const { errors: units } = new Validator(schema as object, "2020-12", false).validate(context);
  for (const unit of units) {
    const at = unit.instanceLocation.replace(/^#\/?/, "").split("/").map(unescapePointer);
    if (unit.keyword === "required") {
      const name = /"(.+)"/.exec(unit.error)?.[1];
      if (name) errors[[...at, name].filter(Boolean).join("/")] ??= "This field is required.";
      continue;
    }
    // These repeat the errors of what they contain.
    if (["properties", "items", "allOf", "$ref", "then"].includes(unit.keyword)) continue;
    // An item of a list has no field of its own.
    errors[at.filter((part) => !/^\d+$/.test(part)).join("/")] ??= inWords(unit);
  }
  return errors;
}

function inWords({ keyword, error }: OutputUnit): string {
  const bound = /(-?\d+(?:\.\d+)?)\D*$/.exec(error)?.[1] ?? "";
  switch (keyword) {
    case "minLength":
      return "Enter more text.";
    case "maxLength":
      return "Shorten the text.";
    case "minimum":
    case "exclusiveMinimum":
      return `Enter at least ${bound}.`;
    case "maximum":
    case "exclusiveMaximum":
      return `Enter at most ${bound}.`;
    case "minItems":
      return "Enter more values.";
    case "maxItems":
      return "Enter fewer values.";
    case "uniqueItems":
      return "Enter each value once.";
    case "type":
      return /"integer"/.test(error) ? "Enter a whole number." : error;
    default:
      return error;
  }
}

function unescapePointer(part: string): string {
  return decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
}
