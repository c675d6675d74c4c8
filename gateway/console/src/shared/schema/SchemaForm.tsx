import { Checkbox, MultiSelect, Select, TagsInput, Textarea, TextInput } from "@mantine/core";

import type { Entered, Field } from "./fields";

interface SchemaFormProps {
  fields: readonly Field[];
  entered: Entered;
  errors: Readonly<Record<string, string>>;
  change: (entered: Entered) => void;
}

/** The form of a context schema. */
export function SchemaForm({ fields, entered, errors, change }: SchemaFormProps) {
  return fields.map((field) => (
    <FieldInput
      key={field.id}
      field={field}
      value={entered[field.id]}
      error={errors[field.id]}
      change={(value) => change({ ...entered, [field.id]: value })}
    />
  ));
}

interface FieldInputProps {
  field: Field;
  value: Entered[string] | undefined;
  error: string | undefined;
  change: (value: Entered[string]) => void;
}

function FieldInput({ field, value, error, change }: FieldInputProps) {
  const { kind, label, description, required, options, placeholder, long } = field;
  const common = { label, description, required, error, placeholder, size: "sm" as const };
  const text = typeof value === "string" ? value : "";
  const list = Array.isArray(value) ? [...(value as readonly string[])] : [];
  switch (kind) {
    case "boolean":
      return (
        <Checkbox
          label={label}
          description={description}
          error={error}
          checked={value === true}
          onChange={(event) => change(event.currentTarget.checked)}
        />
      );
    case "choice":
      return <Select {...common} data={[...options]} value={text || null} clearable={!required} onChange={(next) => change(next ?? "")} />;
    case "choices":
      return <MultiSelect {...common} data={[...options]} value={list} onChange={change} />;
    case "list":
      return (
        <TagsInput {...common} placeholder={list.length === 0 ? placeholder || "Type and press Enter" : ""} value={list} onChange={change} acceptValueOnBlur />
      );
    case "number":
    case "integer":
      return <TextInput {...common} inputMode="decimal" value={text} onChange={(event) => change(event.currentTarget.value)} />;
    case "json":
      return (
        <Textarea
          {...common}
          placeholder={placeholder || "As JSON"}
          autosize
          minRows={2}
          maxRows={10}
          ff="monospace"
          value={text}
          onChange={(event) => change(event.currentTarget.value)}
        />
      );
    default:
      return (
        <Textarea
          {...common}
          autosize
          minRows={long ? 3 : 1}
          maxRows={12}
          value={text}
          onChange={(event) => change(event.currentTarget.value)}
        />
      );
  }
}
