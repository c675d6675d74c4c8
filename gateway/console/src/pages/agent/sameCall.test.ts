import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";

import { sameCall } from "./sameCall";

const CALL = { agent_id: "own_agent_1_1", input: `Anna's "big" plan\n$HOME \\ 100 %`, context: { urgent: true, markets: ["DE"], note: null } };

/** What a shell makes of the arguments. */
function shellArguments(command: string): string[] {
  return execFileSync("bash", ["-c", `${command.split(" ")[0]}() { printf '%s\\0' "$@"; }; ${command}`], { encoding: "utf8" }).split("\0");
}

it("curl sends exactly the call of the form", () => {
  const args = shellArguments(sameCall("curl", "http://localhost:8000", CALL));
  expect(args[0]).toBe("http://localhost:8000/api/v1/agents/own_agent_1_1/execute");
  expect(JSON.parse(args[args.indexOf("-d") + 1] ?? "")).toEqual({ input: CALL.input, context: CALL.context });
});

it("grpcurl sends exactly the call of the form", () => {
  const args = shellArguments(sameCall("grpcurl", "https://mesh.example", CALL));
  expect(args).not.toContain("-plaintext");
  expect(args).toContain("mesh.example:443");
  expect(JSON.parse(args[args.indexOf("-d") + 1] ?? "")).toEqual(CALL);
});

it("Python sends exactly the call of the form", () => {
  const program = sameCall("python", "http://localhost:8000", CALL);
  const check = `
import json, sys, urllib.request
def urlopen(request): print(json.dumps([request.full_url, json.loads(request.data)])); sys.exit()
urllib.request.urlopen = urlopen
`;
  const output = execFileSync("python3", ["-c", check + program], { encoding: "utf8", env: { ...process.env, AGENTMESH_KEY: "amk_x" } });
  expect(JSON.parse(output)).toEqual(["http://localhost:8000/api/v1/agents/own_agent_1_1/execute", { input: CALL.input, context: CALL.context }]);
});
