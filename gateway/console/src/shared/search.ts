// Reads search parameters from the URL. A parameter that is missing or malformed is left out, so that a broken link still opens the page.

export type RawSearch = Record<string, unknown>;

export function text(value: unknown, maxLength = 1_000): string | undefined {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" && value !== "" && value.length <= maxLength ? value : undefined;
}

export function oneOf<const T extends string>(value: unknown, choices: readonly T[]): T | undefined {
  return choices.find((choice) => choice === value);
}

/** A moment in ISO 8601. */
export function time(value: unknown): string | undefined {
  const given = text(value, 40);
  return given !== undefined && !Number.isNaN(Date.parse(given)) ? given : undefined;
}

export function list(value: unknown, maxItems = 20): string[] | undefined {
  const items = (Array.isArray(value) ? value : [value]).map((item) => text(item)).filter((item) => item !== undefined);
  return items.length > 0 ? [...new Set(items)].slice(0, maxItems) : undefined;
}

/** Drops what is not set, so that the URL shows only what was chosen. */
export function compactSearch<T extends object>(search: T): Partial<T> {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined && value !== "")) as Partial<T>;
}
