import { Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { agentService } from "@/api/services/agentService";
import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { duration, integer, money, words } from "@/shared/format";
import { fieldsOf, type Field } from "@/shared/schema/fields";
import { CopyableId, CopyButton } from "@/shared/ui/CopyButton";
import { DataTable, type Column } from "@/shared/ui/DataTable";
import { Facts, Section } from "@/shared/ui/Page";
import classes from "./Agent.module.css";

export function AboutTab({ agent }: { agent: Agent }) {
  return (
    <div className={classes.about}>
      <p className={classes.description}>{agent.description}</p>
      <div className={classes.tags}>
        {agent.tags.map((tag) => (
          <Link key={tag} to="/marketplace" search={{ tags: [tag] }} className={classes.tag}>
            {words(tag)}
          </Link>
        ))}
      </div>
      <Section title="Measured in the last 30 days">
        <Measured agentId={agent.agentId} />
      </Section>
      <Section title="Definition">
        <Facts
          items={[
            ["Agent id", <CopyableId key="id" id={agent.agentId} what="the agent id" />],
            ["Model", agent.model],
            ["Longest answer", `${integer(agent.maxTokens)} tokens`],
            ["gRPC port", String(agent.port)],
            ["Revision", <CopyableId key="revision" id={agent.revision} what="the revision" />],
          ]}
        />
      </Section>
      <Section title="Facts that it understands" aside={<CopyButton text={JSON.stringify(agent.contextSchema ?? {}, null, 2)} what="the JSON Schema" label="JSON Schema" />}>
        <DataTable
          label="Facts"
          columns={FIELD_COLUMNS}
          rows={fieldsOf(agent.contextSchema)}
          rowKey={(field) => field.id}
          empty={<div className={classes.none}>This agent needs no facts beside its input. It accepts any.</div>}
        />
      </Section>
    </div>
  );
}

const KINDS: Record<Field["kind"], string> = {
  text: "Text",
  number: "Number",
  integer: "Whole number",
  boolean: "Yes or no",
  choice: "One of",
  list: "List of texts",
  choices: "Some of",
  json: "Structured",
};

const FIELD_COLUMNS: readonly Column<Field>[] = [
  { key: "name", heading: "Name", cell: (field) => <span className="mono">{field.path.join(".")}</span>, width: 180 },
  { key: "kind", heading: "Type", cell: (field) => [KINDS[field.kind], field.options.join(", ")].filter(Boolean).join(" "), width: 170, secondary: true },
  { key: "required", heading: "", cell: (field) => (field.required ? "required" : <span className="dim">optional</span>), width: 90, secondary: true },
  { key: "description", heading: "Meaning", cell: (field) => <span className={classes.meaning}>{field.description}</span> },
];

function Measured({ agentId }: { agentId: string }) {
  const { data, error } = useQuery({
    queryKey: ["agents", "estimate", agentId, "measured"],
    queryFn: ({ signal }) => agentService.estimate({ agentId, input: "." }, signal),
    staleTime: 60_000,
  });
  if (error) return <div className={classes.none}>The figures could not be read.</div>;
  if (!data) return <Skeleton height={44} />;
  if (data.samples === 0n) return <div className={classes.none}>Nobody has run this agent yet. Its first runs will show here what they took and cost.</div>;
  return (
    <Facts
      items={[
        ["Runs", integer(data.samples)],
        ["Duration", `${duration(data.typicalSeconds?.p50 ?? 0)} in half of the runs, at most ${duration(data.typicalSeconds?.p90 ?? 0)} in nine of ten`],
        ["Cost", `${money(data.typicalMicroUsd?.p50 ?? 0n)} in half of the runs, at most ${money(data.typicalMicroUsd?.p90 ?? 0n)} in nine of ten`],
      ]}
    />
  );
}
