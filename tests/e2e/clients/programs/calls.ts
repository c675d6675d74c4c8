// Calls the platform with the types that openapi-typescript made, through openapi-fetch.
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const [url, token, agent] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: url, headers: { authorization: `Bearer ${token}` } });
const path = { agent_id: agent };

const agents = await client.GET("/api/v1/agents", { params: { query: { limit: 1 } } });
const answer = await client.POST("/api/v1/agents/{agent_id}/execute", { params: { path }, body: { input: "Help" } });
const made = await client.POST("/api/v1/workflows", {
  body: { name: "Generated", tasks: [{ id: "plan", agent_id: agent, input: "Plan", approval: {}, retry: { max_attempts: 2 } }] },
});
const stream = await client.POST("/api/v1/agents/{agent_id}/stream", { params: { path }, body: { input: "Help" }, parseAs: "text" });
const missing = await client.GET("/api/v1/agents/{agent_id}", { params: { path: { agent_id: "nope" } } });

console.log(
  JSON.stringify({
    agents: agents.data?.agents.length,
    answered: answer.data?.result !== "",
    timeout: made.data?.workflow?.tasks[0]?.approval?.timeout_seconds,
    streamed: stream.data?.includes('"done"'),
    missing: missing.response.status,
  }),
);
