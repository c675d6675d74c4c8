import { Link } from "@tanstack/react-router";
import { memo } from "react";

import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import type { MeasuredAgent } from "@gen/agentmesh/registry/v1/registry_service_pb";
import { count, duration, money, percent, words } from "@/shared/format";
import { whenToPick } from "@/shared/when";
import classes from "./AgentCard.module.css";

/** One agent: what it is called, when to pick it, what it does. */
export const AgentCard = memo(function AgentCard({ agent, measured }: { agent: Agent; measured?: MeasuredAgent | undefined }) {
  const { when, what } = whenToPick(agent.description);
  return (
    <Link to="/agents/$agentId" params={{ agentId: agent.agentId }} className={classes.card} preload={false}>
      <span className={classes.family}>
        {words(agent.category)} · {words(agent.role)}
      </span>
      <span className={classes.name}>{agent.name}</span>
      <span className={classes.when}>{when}</span>
      {what && <span className={classes.what}>{what}</span>}
      {measured ? <Figures measured={measured} /> : <span className={classes.tags}>{agent.tags.slice(0, 3).map(words).join(" · ")}</span>}
    </Link>
  );
});

/** What people who ran the agent experienced. */
function Figures({ measured: { calls, completedShare, secondsP50, costMicroUsdP50 } }: { measured: MeasuredAgent }) {
  const answered = secondsP50 > 0;
  return (
    <span className={classes.figures}>
      {answered && (
        <>
          <span>
            <span className="visually-hidden">Typical duration </span>
            {duration(secondsP50)}
          </span>
          <span>
            <span className="visually-hidden">Typical cost </span>
            {money(costMicroUsdP50)}
          </span>
        </>
      )}
      <span>{percent(completedShare)} completed</span>
      <span className={classes.runs}>{count(calls, "run")}</span>
    </span>
  );
}
