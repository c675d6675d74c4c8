import type { JsonObject } from "@bufbuild/protobuf";

export type Language = "curl" | "grpcurl" | "python";

export const LANGUAGES: readonly { value: Language; label: string }[] = [
  { value: "curl", label: "curl" },
  { value: "grpcurl", label: "grpcurl" },
  { value: "python", label: "Python" },
];

export interface CallBody {
  agent_id: string;
  input: string;
  context: JsonObject;
}

/** The call as a program would make it. */
export function sameCall(language: Language, apiUrl: string, call: CallBody): string {
  const { agent_id, input, context } = call;
  const rest = Object.keys(context).length > 0 ? { input, context } : { input };
  const path = `${apiUrl.replace(/\/$/, "")}/api/v1/agents/${agent_id}/execute`;
  switch (language) {
    case "curl":
      return [`curl ${path} \\`, `  -H "authorization: Bearer $AGENTMESH_KEY" \\`, `  -d ${shellQuote(JSON.stringify(rest, null, 2))}`].join("\n");
    case "grpcurl": {
      const { host, protocol } = new URL(apiUrl);
      const target = host.includes(":") ? host : `${host}:${protocol === "https:" ? 443 : 80}`;
      return [
        `grpcurl ${protocol === "https:" ? "" : "-plaintext "}-H "authorization: Bearer $AGENTMESH_KEY" \\`,
        `  -d ${shellQuote(JSON.stringify({ agent_id, ...rest }, null, 2))} \\`,
        `  ${target} agentmesh.execution.v1.ExecutionService/ExecuteAgent`,
      ].join("\n");
    }
    case "python":
      return [
        "import json, os, urllib.request",
        "",
        "request = urllib.request.Request(",
        `    ${pythonText(path)},`,
        `    data=json.dumps(${pythonValue(rest, 1)}).encode(),`,
        `    headers={"authorization": f"Bearer {os.environ['AGENTMESH_KEY']}", "content-type": "application/json"},`,
        ")",
        "with urllib.request.urlopen(request) as response:",
        `    print(json.load(response)["result"])`,
      ].join("\n");
  }
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** JSON strings are Python strings, except for surrogates, which JSON.stringify does not write. */
function pythonText(text: string): string {
  return JSON.stringify(text);
}

function pythonValue(value: unknown, depth: number): string {
  const indent = "    ".repeat(depth + 1);
  const end = "    ".repeat(depth);
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return pythonText(value);
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `[${value.map((each) => pythonValue(each, depth)).join(", ")}]`;
  if (typeof value === "object") {
    const lines = Object.entries(value).map(([key, each]) => `${indent}${pythonText(key)}: ${pythonValue(each, depth + 1)},`);
    return lines.length === 0 ? "{}" : `{\n${lines.join("\n")}\n${end}}`;
  }
  return String(value);
}
