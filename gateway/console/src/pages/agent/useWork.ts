import type { JsonObject } from "@bufbuild/protobuf";
import { useMemo } from "react";

import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { fieldsOf, toContext, type Entered, type Field } from "@/shared/schema/fields";
import { validate } from "@/shared/schema/validate";
import { useStored } from "@/shared/useStored";

/** What the agent is to do: its input and its context, as they are being written. */
export interface Work {
  input: string;
  setInput: (input: string) => void;
  fields: Field[];
  entered: Entered;
  setEntered: (entered: Entered) => void;
  context: JsonObject;
  /** What is wrong, by the id of the field; `input` for the input. */
  errors: Record<string, string>;
}

const MAX_INPUT = 200_000;

export function useWork(agent: Agent): Work {
  const [draft, setDraft] = useStored<{ input: string; entered: Entered }>(`draft.${agent.agentId}`, { input: "", entered: {} });
  const fields = useMemo(() => fieldsOf(agent.contextSchema), [agent.contextSchema]);
  const { context, errors } = useMemo(() => {
    const converted = toContext(fields, draft.entered);
    const invalid = validate(agent.contextSchema, converted.context);
    return { context: converted.context, errors: { ...invalid, ...converted.errors } };
  }, [fields, draft.entered, agent.contextSchema]);
  const inputError = checkInput(draft.input);
  return {
    input: draft.input,
    setInput: (input) => setDraft({ ...draft, input }),
    fields,
    entered: draft.entered,
    setEntered: (entered) => setDraft({ ...draft, entered }),
    context,
    errors: inputError ? { ...errors, input: inputError } : errors,
  };
}

function checkInput(input: string): string | undefined {
  if (input.trim() === "") return "Say what the agent is to do.";
  // The platform counts Unicode characters; UTF-16 units are at least as many.
  if (input.length > MAX_INPUT && [...input].length > MAX_INPUT) return "Use at most 200,000 characters.";
  return undefined;
}
