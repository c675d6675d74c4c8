import { Button, Collapse, Textarea, UnstyledButton } from "@mantine/core";
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { IconChevronRight, IconPlayerPlay } from "@tabler/icons-react";
import { useRef, useState } from "react";

import { agentService } from "@/api/services/agentService";
import { adoptRun } from "@/api/streams/runState";
import { runKey } from "@/api/streams/useRun";
import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { randomId } from "@/shared/browser/ids";
import { duration, money } from "@/shared/format";
import { SchemaForm } from "@/shared/schema/SchemaForm";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { useDebounced } from "@/shared/useDebounced";
import { Answer } from "./Answer";
import { Examples } from "./Examples";
import { RecentRuns } from "./RecentRuns";
import type { Work } from "./useWork";
import classes from "./Agent.module.css";

interface RunTabProps {
  agent: Agent;
  work: Work;
  runId: string | undefined;
  showRun: (runId: string | undefined) => void;
}

/** What the agent is to do on the left, its answer on the right. */
export function RunTab({ agent, work, runId, showRun }: RunTabProps) {
  const queries = useQueryClient();
  const [checked, setChecked] = useState(false);
  // One key for each intent: the same work that is sent again after a lost answer starts nothing twice.
  const intent = useRef({ work: "", key: "" });
  const start = useMutation({
    mutationFn: (input: string) => {
      const request = { agentId: agent.agentId, input, context: work.context };
      const fingerprint = JSON.stringify(request);
      if (intent.current.work !== fingerprint) intent.current = { work: fingerprint, key: randomId() };
      return agentService.executeAgent({ ...request, idempotencyKey: intent.current.key });
    },
    onSuccess: (run) => {
      intent.current = { work: "", key: "" };
      queries.setQueryData(runKey(run.runId), adoptRun(undefined, run));
      void queries.invalidateQueries({ queryKey: ["runs"] });
      showRun(run.runId);
    },
  });
  const submit = () => {
    setChecked(true);
    if (Object.keys(work.errors).length === 0) start.mutate(work.input);
  };
  const runExample = (example: string) => {
    work.setInput(example);
    setChecked(true);
    const { input: _, ...contextErrors } = work.errors;
    if (Object.keys(contextErrors).length === 0) start.mutate(example);
  };

  return (
    <div className={classes.columns}>
      <form
        className={classes.work}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) submit();
        }}
      >
        <Textarea
          label="What is to be done"
          placeholder="Describe the task, and paste what the agent needs to know"
          autosize
          minRows={6}
          maxRows={22}
          error={checked && work.errors.input}
          value={work.input}
          onChange={(event) => work.setInput(event.currentTarget.value)}
        />
        <ContextForm work={work} checked={checked} />
        <div className={classes.start}>
          <Button type="submit" leftSection={<IconPlayerPlay size={15} />} loading={start.isPending}>
            Run
          </Button>
          <Estimate agentId={agent.agentId} work={work} />
        </div>
        {start.error && <ErrorPanel error={start.error} title="The agent was not started" />}
        <Examples examples={agent.examples} use={work.setInput} run={runExample} />
      </form>
      <div className={classes.answerColumn}>
        {runId ? <Answer key={runId} runId={runId} again={(input) => work.setInput(input)} /> : <NoAnswer name={agent.name} />}
        <RecentRuns agentId={agent.agentId} shown={runId} show={showRun} />
      </div>
    </div>
  );
}

function NoAnswer({ name }: { name: string }) {
  return (
    <div className={classes.noAnswer}>
      <p>
        The answer of the {name} appears here while it is being written. It continues when you reload or close this page.
      </p>
    </div>
  );
}

function ContextForm({ work, checked }: { work: Work; checked: boolean }) {
  const required = work.fields.some((field) => field.required);
  const filled = Object.keys(work.context).length;
  const [open, setOpen] = useState(required || filled > 0);
  const { input: _, ...errors } = work.errors;
  const invalid = checked && Object.keys(errors).length > 0;
  if (work.fields.length === 0) return null;
  const shown = open || invalid;
  return (
    <div>
      <UnstyledButton className={classes.disclosure} aria-expanded={shown} onClick={() => setOpen(!open)}>
        <IconChevronRight size={15} aria-hidden data-open={shown || undefined} />
        Facts for the agent
        <span className="dim">{filled > 0 ? `${filled} given` : required ? "some are required" : "optional, make the answer more exact"}</span>
      </UnstyledButton>
      <Collapse expanded={shown}>
        <div className={classes.facts}>
          <SchemaForm fields={work.fields} entered={work.entered} errors={checked ? errors : {}} change={work.setEntered} />
          {checked && errors[""] && <div className={classes.formError}>{errors[""]}</div>}
        </div>
      </Collapse>
    </div>
  );
}

/** What the call would cost, next to the button that makes it. */
function Estimate({ agentId, work }: { agentId: string; work: Work }) {
  const input = useDebounced(work.input.trim(), 700);
  const { data } = useQuery({
    queryKey: ["agents", "estimate", agentId, input],
    queryFn: ({ signal }) => agentService.estimate({ agentId, input }, signal),
    enabled: input !== "",
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    retry: false,
  });
  if (!data || input === "") return <span className={classes.estimate}>Ctrl + Enter runs it</span>;
  const typical =
    data.samples > 0n
      ? `Typically ${money(data.typicalMicroUsd?.p50 ?? 0n)} and ${duration(data.typicalSeconds?.p50 ?? 0)}, `
      : "";
  return (
    <span className={classes.estimate}>
      {typical}
      {typical ? "at" : "At"} most {money(data.worstCaseMicroUsd)}
    </span>
  );
}
