import { Alert, Button, FileButton, Menu, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { IconSitemap } from "@tabler/icons-react";
import { useEffect, useMemo, useState } from "react";

import { workflowService } from "@/api/services/workflowService";
import { streamHub } from "@/api/streams";
import { agentInWords } from "@/shared/agentName";
import { randomId } from "@/shared/browser/ids";
import { download } from "@/shared/browser/download";
import { WorkflowGraph } from "@/shared/graph/WorkflowGraph";
import { draftOf, EMPTY, fromText, requestOf, toJson, toYaml, type Draft } from "@/shared/workflow/document";
import { useStored } from "@/shared/useStored";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { Page } from "@/shared/ui/Page";
import { AgentPicker } from "./AgentPicker";
import { addTask, changeTask, possibleBefore } from "./edit";
import { TaskEditor } from "./TaskEditor";
import { about, markedBy } from "./violations";
import classes from "./Builder.module.css";

const route = getRouteApi("/app/workflows/new");

/** The largest workflow that the platform takes. */
const MOST_TASKS = 100;

/** Builds a workflow: from nothing, from a file, or from a copy of one that exists. The draft survives a reload. */
export function BuilderPage() {
  const { from, task: chosen } = route.useSearch();
  const navigate = route.useNavigate();
  const select = (task: string | undefined) => void navigate({ search: { ...(from && { from }), ...(task && { task }) }, replace: true });
  const [stored, setDraft] = useStored<Draft | null>(`workflow.${from ?? "new"}`, null);
  const source = useQuery({
    queryKey: ["workflow", from ?? ""],
    queryFn: ({ signal }) => workflowService.getWorkflow(from ?? "", signal),
    enabled: from !== undefined,
    staleTime: Infinity,
  });
  const copy = useMemo(() => (source.data ? copyOf(draftOf(source.data)) : EMPTY), [source.data]);
  const draft = stored ?? copy;
  const creation = useCreation(draft, () => setDraft(null));
  const marked = useMemo(() => markedBy(creation.error, creation.variables?.sent), [creation.error, creation.variables]);
  const nodes = useMemo(
    () =>
      draft.tasks.map((task) => ({
        id: task.id,
        title: task.id,
        subtitle: agentInWords(task.agent_id),
        tone: marked.byTask.has(task.id) ? "failed" : undefined,
        note: marked.byTask.has(task.id) ? "Problem" : task.approval ? "Asks first" : undefined,
        dependsOn: task.depends_on,
      })),
    [draft.tasks, marked],
  );
  const selected = draft.tasks.find(({ id }) => id === chosen);
  const connect = (before: string, after: string) => {
    const task = draft.tasks.find(({ id }) => id === after);
    if (task && possibleBefore(draft, after).includes(before)) {
      setDraft(changeTask(draft, after, { depends_on: [...new Set([...task.depends_on, before])] }));
    }
  };
  return (
    <Page
      title={from ? "Edit a copy" : "New workflow"}
      above={<Link to="/dashboard">Workflows</Link>}
      subtitle="Agents work in the order of the arrows; those without an arrow between them work at the same time"
      actions={
        <>
          <Files draft={draft} load={setDraft} />
          {stored && (
            <Button size="compact-sm" variant="default" onClick={() => setDraft(null)}>
              Start over
            </Button>
          )}
          <Button
            size="compact-sm"
            variant="default"
            disabled={draft.tasks.length === 0}
            loading={creation.isPending}
            onClick={() => creation.mutate({ run: false, sent: draft })}
          >
            Save
          </Button>
          <Button size="compact-sm" disabled={draft.tasks.length === 0} loading={creation.isPending} onClick={() => creation.mutate({ run: true, sent: draft })}>
            Save and run
          </Button>
        </>
      }
    >
      {from && source.error && <ErrorPanel error={source.error} title="The workflow could not be copied" retry={() => void source.refetch()} />}
      {from && source.data && (
        <Alert variant="light" mb="sm" p="xs">
          A workflow never changes, so that its runs keep their meaning. This is a copy of “{source.data.name}”: saving it makes a new workflow, and
          the old one stays until you delete it.
        </Alert>
      )}
      {creation.error && marked.byTask.size === 0 && <ErrorPanel error={creation.error} title="The workflow was not saved" />}
      {marked.byTask.size > 0 && (
        <div role="alert" className={classes.problem}>
          The workflow was not saved. Correct {[...marked.byTask.keys()].join(", ")}
          {marked.others.length > 0 && `; ${marked.others.map(({ field, description }) => `${field} ${description}`).join("; ")}`}.
        </div>
      )}
      <div className={classes.bar}>
        <TextInput
          className={classes.name}
          aria-label="Name of the workflow"
          placeholder="Name of the workflow"
          maxLength={255}
          value={draft.name}
          error={about(marked.others, "name")}
          onChange={(event) => setDraft({ ...draft, name: event.currentTarget.value })}
        />
        <AgentPicker
          disabled={draft.tasks.length >= MOST_TASKS}
          pick={(agent) => {
            const added = addTask(draft, agent.agentId, agent.name);
            setDraft(added.draft);
            select(added.id);
          }}
        />
      </div>
      {draft.tasks.length === 0 ? (
        <div className={classes.empty}>
          <EmptyState icon={<IconSitemap size={26} />} title="Add the first task">
            Choose the agent that does it. Then add a task for the next agent, and let it use the answer of the first.
          </EmptyState>
        </div>
      ) : (
        <div className={classes.views} data-open={selected ? true : undefined}>
          <WorkflowGraph
            label="Tasks and what they depend on"
            nodes={nodes}
            selected={selected?.id}
            select={select}
            connect={connect}
            height="min(620px, 70dvh)"
          />
          {selected ? (
            <TaskEditor key={selected.id} draft={draft} task={selected} violations={marked.byTask.get(selected.id) ?? []} change={setDraft} select={select} />
          ) : (
            <p className={classes.hint}>Select a task to edit it. Draw an arrow from the right edge of a task to the left edge of another to set their order.</p>
          )}
        </div>
      )}
    </Page>
  );
}

/** Saves the draft, and then perhaps runs it. A click that is repeated after a lost answer creates nothing twice. */
function useCreation(draft: Draft, saved: () => void) {
  const queries = useQueryClient();
  const navigate = route.useNavigate();
  const [intent, setIntent] = useState(randomId);
  // Another draft is another intent.
  useEffect(() => setIntent(randomId()), [draft]);
  return useMutation({
    mutationFn: async ({ run, sent }: { run: boolean; sent: Draft }) => {
      const workflow = await workflowService.createWorkflow({ ...requestOf(sent), idempotencyKey: `console-${intent}` });
      return { workflow, run: run ? await workflowService.executeWorkflow(workflow.workflowId, `console-run-${intent}`) : undefined };
    },
    onSuccess: ({ workflow, run }) => {
      saved();
      streamHub().tellChanged("workflows");
      void queries.invalidateQueries({ queryKey: ["workflows"] });
      void queries.invalidateQueries({ queryKey: ["runs"] });
      if (run) void navigate({ to: "/runs/$runId", params: { runId: run.runId }, search: {} });
      else void navigate({ to: "/workflows/$workflowId", params: { workflowId: workflow.workflowId }, search: {} });
    },
  });
}

function Files({ draft, load }: { draft: Draft; load: (draft: Draft) => void }) {
  const [problem, setProblem] = useState<string>();
  const read = async (file: File | null) => {
    if (!file) return;
    try {
      load(fromText(await file.text()));
      setProblem(undefined);
    } catch (error) {
      setProblem(`${file.name} was not imported: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  return (
    <>
      {problem && (
        <span role="alert" className={classes.problem}>
          {problem}
        </span>
      )}
      <FileButton accept=".yaml,.yml,.json" onChange={(file) => void read(file)}>
        {(props) => (
          <Button size="compact-sm" variant="default" {...props}>
            Import
          </Button>
        )}
      </FileButton>
      <Menu position="bottom-end">
        <Menu.Target>
          <Button size="compact-sm" variant="default" disabled={draft.tasks.length === 0}>
            Export
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => download("workflow.yaml", toYaml(draft), "application/yaml")}>YAML</Menu.Item>
          <Menu.Item onClick={() => download("workflow.json", toJson(draft), "application/json")}>JSON</Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </>
  );
}

function copyOf(draft: Draft): Draft {
  return { ...draft, name: `${draft.name} (copy)`.slice(0, 255) };
}
