import type { JsonValue } from "@bufbuild/protobuf";

/** `site_type` → `Site type`: the name of a field in words. */
export function fieldInWords(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A JSON value in words: `Username: ada; Keys: 2`. */
export function inWords(value: JsonValue): string {
  if (value === null) return "nothing";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, each]) => `${fieldInWords(name)}: ${inWords(each)}`)
      .join("; ");
  }
  return String(value);
}
