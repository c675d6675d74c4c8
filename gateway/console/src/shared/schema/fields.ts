import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

// Makes a form from a JSON Schema of the kind that agents have for their context: an object whose properties are texts, numbers, choices,
// lists of them, or further objects. What a form cannot express is edited as JSON.

export type FieldKind = "text" | "number" | "integer" | "boolean" | "choice" | "list" | "choices" | "json";

export interface Field {
  /** The path of the property, e.g. `audience/age`. */
  id: string;
  path: readonly string[];
  label: string;
  description: string;
  required: boolean;
  kind: FieldKind;
  options: readonly string[];
  placeholder: string;
  /** Texts that are usually long get room for several lines. */
  long: boolean;
  minimum: number | undefined;
  maximum: number | undefined;
}

/** What the user has entered, by the id of the field; numbers as they were typed. */
export type Entered = Readonly<Record<string, string | boolean | readonly string[]>>;

export interface Converted {
  context: JsonObject;
  /** What cannot be converted, by the id of the field. */
  errors: Record<string, string>;
}

export function fieldsOf(schema: JsonObject | undefined): Field[] {
  return schema ? collect(schema, []) : [];
}

function collect(schema: JsonObject, path: readonly string[]): Field[] {
  const required = new Set(texts(schema.required));
  return Object.entries(objectAt(schema, "properties")).flatMap(([name, value]) => {
    const property = asObject(value);
    const here = [...path, name];
    if (property.type === "object" && Object.keys(objectAt(property, "properties")).length > 0 && path.length < 3) return collect(property, here);
    return [fieldOf(property, here, required.has(name))];
  });
}

function fieldOf(property: JsonObject, path: readonly string[], required: boolean): Field {
  const items = objectAt(property, "items");
  const kind = kindOf(property, items);
  const description = typeof property.description === "string" ? property.description : "";
  return {
    id: path.join("/"),
    path,
    label: typeof property.title === "string" ? property.title : path.map(labelOf).join(" › "),
    description,
    required,
    kind,
    options: texts(kind === "choices" ? items.enum : property.enum),
    placeholder: exampleOf(property),
    long: kind === "text" && (/pasted|paste|full text|draft|transcript/i.test(description) || Number(property.maxLength ?? 0) > 300),
    minimum: typeof property.minimum === "number" ? property.minimum : undefined,
    maximum: typeof property.maximum === "number" ? property.maximum : undefined,
  };
}

function kindOf(property: JsonObject, items: JsonObject): FieldKind {
  if (texts(property.enum).length > 0) return "choice";
  switch (property.type) {
    case "string":
      return "text";
    case "number":
      return "number";
    case "integer":
      return "integer";
    case "boolean":
      return "boolean";
    case "array":
      if (texts(items.enum).length > 0) return "choices";
      return items.type === "string" ? "list" : "json";
    default:
      return "json";
  }
}

/** The context that was entered. Empty fields are left out, so that a schema's `required` decides about them. */
export function toContext(fields: readonly Field[], entered: Entered): Converted {
  const context: JsonObject = {};
  const errors: Record<string, string> = {};
  for (const field of fields) {
    const value = entered[field.id];
    if (value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) continue;
    const converted = convert(field.kind, value);
    if ("error" in converted) errors[field.id] = converted.error;
    else put(context, field.path, converted.value);
  }
  return { context, errors };
}

function convert(kind: FieldKind, value: string | boolean | readonly string[]): { value: JsonValue } | { error: string } {
  if (typeof value !== "string") return { value: Array.isArray(value) ? [...value] : (value as boolean) };
  if (kind === "number" || kind === "integer") {
    const number = Number(value.trim());
    if (Number.isNaN(number)) return { error: "Enter a number." };
    return { value: number };
  }
  if (kind !== "json") return { value };
  try {
    return { value: JSON.parse(value) as JsonValue };
  } catch (error) {
    return { error: `This is not valid JSON: ${(error as Error).message}.` };
  }
}

/** The reverse of `toContext`: shows a context that was used before. */
export function toEntered(fields: readonly Field[], context: JsonObject): Entered {
  const entered: Record<string, string | boolean | readonly string[]> = {};
  for (const field of fields) {
    const value = field.path.reduce<JsonValue | undefined>((at, name) => (isObject(at) ? at[name] : undefined), context);
    if (value === undefined || value === null) continue;
    if (typeof value === "boolean" && field.kind === "boolean") entered[field.id] = value;
    else if (Array.isArray(value) && (field.kind === "list" || field.kind === "choices")) entered[field.id] = value.map(String);
    else entered[field.id] = typeof value === "string" && field.kind !== "json" ? value : JSON.stringify(value);
  }
  return entered;
}

function put(context: JsonObject, path: readonly string[], value: JsonValue): void {
  let at = context;
  for (const name of path.slice(0, -1)) {
    const next = at[name];
    at = isObject(next) ? next : ((at[name] = {}) as JsonObject);
  }
  const last = path.at(-1);
  if (last !== undefined) at[last] = value;
}

function labelOf(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function exampleOf(property: JsonObject): string {
  const [example] = Array.isArray(property.examples) ? property.examples : [];
  return example === undefined ? "" : typeof example === "string" ? example : JSON.stringify(example);
}

function texts(value: JsonValue | undefined): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function asObject(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function objectAt(value: JsonObject, name: string): JsonObject {
  return asObject(value[name]);
}
