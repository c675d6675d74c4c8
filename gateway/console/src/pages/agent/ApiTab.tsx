import { SegmentedControl } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useState } from "react";

import { API_URL } from "@/api/transport";
import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { CopyButton } from "@/shared/ui/CopyButton";
import { LANGUAGES, sameCall, type Language } from "./sameCall";
import type { Work } from "./useWork";
import classes from "./Agent.module.css";

/** The call that the form makes, for programs. */
export function ApiTab({ agent, work }: { agent: Agent; work: Work }) {
  const [language, setLanguage] = useState<Language>("curl");
  const input = work.input.trim() || agent.examples[0]?.replaceAll(/\s+/g, " ").trim() || "What is to be done";
  const code = sameCall(language, API_URL, { agent_id: agent.agentId, input, context: work.context });
  return (
    <div className={classes.about}>
      <p className={classes.description}>
        The same call as in the form, with its present input. It needs an API key with the scope to execute:{" "}
        <Link to="/account" search={{ tab: "keys" }}>
          create one
        </Link>{" "}
        and put it into the environment as <code>AGENTMESH_KEY</code>.
      </p>
      <div className={classes.codeHead}>
        <SegmentedControl size="xs" aria-label="Language" data={LANGUAGES.map(({ value, label }) => ({ value, label }))} value={language} onChange={(next) => setLanguage(next as Language)} />
        <CopyButton text={code} what="the code" label="Copy" />
      </div>
      <pre className={classes.code} tabIndex={0}>
        {code}
      </pre>
      <p className={classes.description}>
        The call waits for the whole answer. <span className="mono">/stream</span> instead of <span className="mono">/execute</span> sends it as it is
        written, and <span className="mono">/start</span> runs it in the background, as this page does. The whole contract is at{" "}
        <a href={`${API_URL}/openapi.json`}>/openapi.json</a>.
      </p>
    </div>
  );
}
