import { Link } from "@tanstack/react-router";
import { memo } from "react";

import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { words } from "@/shared/format";
import { whenToPick } from "@/shared/when";
import classes from "./AgentCard.module.css";

/** One agent: what it is called, when to pick it, what it does. */
export const AgentCard = memo(function AgentCard({ agent }: { agent: Agent }) {
  const { when, what } = whenToPick(agent.description);
  return (
    <Link to="/agents/$agentId" params={{ agentId: agent.agentId }} className={classes.card} preload={false}>
      <span className={classes.family}>
        {words(agent.category)} · {words(agent.role)}
      </span>
      <span className={classes.name}>{agent.name}</span>
      <span className={classes.when}>{when}</span>
      {what && <span className={classes.what}>{what}</span>}
      <span className={classes.tags}>{agent.tags.slice(0, 3).map(words).join(" · ")}</span>
    </Link>
  );
});
