import { Button, Checkbox, Group, Menu, MultiSelect, NumberInput, Select, Textarea, TextInput } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { IconBraces, IconTrash } from "@tabler/icons-react";
import { useRef, useState } from "react";

import type { Violation } from "@/api/errors";
import { useAgentName } from "@/shared/agentName";
import { newApproval, type Draft, type DraftApproval, type DraftTask } from "@/shared/workflow/document";
import { changeTask, insertReference, possibleBefore, removeTask, renameTask, validId } from "./edit";
import { about } from "./violations";
import classes from "./Builder.module.css";

interface TaskEditorProps {
  draft: Draft;
  task: DraftTask;
  violations: readonly Violation[];
  change: (draft: Draft) => void;
  select: (id: string | undefined) => void;
}

/** Everything about one task. What the server objects to is shown at its field. */
export function TaskEditor({ draft, task, violations, change, select }: TaskEditorProps) {
  const edit = (part: Partial<DraftTask>) => change(changeTask(draft, task.id, part));
  const name = useAgentName(task.agent_id);
  const before = possibleBefore(draft, task.id);
  return (
    <section className={classes.editor} aria-label={`Task ${task.id}`}>
      <div className={classes.editorHead}>
        <Link to="/agents/$agentId" params={{ agentId: task.agent_id }} target="_blank">
          {name}
        </Link>
        <Button
          size="compact-sm"
          variant="subtle"
          color="red"
          leftSection={<IconTrash size={14} />}
          onClick={() => {
            change(removeTask(draft, task.id));
            select(undefined);
          }}
        >
          Remove
        </Button>
      </div>
      {about(violations, "task", "agent_id") && <p className={classes.problem}>{about(violations, "task", "agent_id")}</p>}
      <IdField draft={draft} task={task} change={change} select={select} error={about(violations, "id")} />
      <MultiSelect
        label="After"
        description="It begins when these have completed"
        placeholder={task.depends_on.length === 0 ? "Begins at once" : ""}
        data={[...new Set([...before, ...task.depends_on])]}
        value={task.depends_on}
        error={about(violations, "depends_on")}
        onChange={(depends_on) => edit({ depends_on })}
        clearable
      />
      <InputField draft={draft} task={task} before={before} change={change} error={about(violations, "input", "context")} />
      <ApprovalFields task={task} edit={edit} error={about(violations, "approval")} />
      <details className={classes.more} open={about(violations, "retry", "timeout_seconds") !== undefined || undefined}>
        <summary>Time limit and retries</summary>
        <div className={classes.numbers}>
          <NumberInput
            label="Seconds for one attempt"
            min={1}
            max={600}
            value={task.timeout_seconds}
            error={about(violations, "timeout_seconds")}
            onChange={(value) => edit({ timeout_seconds: Number(value) || 1 })}
          />
          <NumberInput
            label="Attempts"
            min={1}
            max={20}
            value={task.max_attempts}
            error={about(violations, "retry.max_attempts")}
            onChange={(value) => edit({ max_attempts: Number(value) || 1 })}
          />
          <NumberInput
            label="Pause in seconds"
            min={0}
            max={3600}
            value={task.delay_seconds}
            error={about(violations, "retry.delay_seconds")}
            onChange={(value) => edit({ delay_seconds: Number(value) || 0 })}
          />
          <NumberInput
            label="Each pause longer by"
            min={1}
            max={10}
            step={0.5}
            decimalScale={2}
            value={task.backoff}
            error={about(violations, "retry.backoff")}
            onChange={(value) => edit({ backoff: Number(value) || 1 })}
          />
        </div>
        <Select
          mt="sm"
          label="If the answer is refused or cut off"
          allowDeselect={false}
          data={[
            { value: "fail", label: "The step fails" },
            { value: "use", label: "Use what there is" },
          ]}
          value={task.on_incomplete}
          onChange={(value) => edit({ on_incomplete: value === "use" ? "use" : "fail" })}
        />
      </details>
    </section>
  );
}

type FieldProps = Pick<TaskEditorProps, "draft" | "task" | "change"> & { error: string | undefined };

/** The id, which is taken over when the field is left: every reference to the task follows. */
function IdField({ draft, task, change, select, error }: FieldProps & Pick<TaskEditorProps, "select">) {
  const [id, setId] = useState(task.id);
  const taken = id !== task.id && draft.tasks.some((each) => each.id === id);
  const problem = !validId(id)
    ? "Begin with a letter; use letters, digits, _ and -, at most 64."
    : taken
      ? "Another task has this name."
      : undefined;
  const rename = () => {
    if (problem || id === task.id) return;
    change(renameTask(draft, task.id, id));
    select(id);
  };
  return (
    <TextInput
      label="Name of the task"
      value={id}
      error={problem ?? error}
      onChange={(event) => setId(event.currentTarget.value)}
      onBlur={rename}
      onKeyDown={(event) => {
        if (event.key === "Enter") rename();
      }}
    />
  );
}

function InputField({ draft, task, before, change, error }: FieldProps & { before: readonly string[] }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const insert = (other: string) => {
    const at = field.current?.selectionStart ?? task.input.length;
    change(insertReference(draft, task.id, other, at));
    requestAnimationFrame(() => field.current?.focus());
  };
  return (
    <div>
      <Textarea
        ref={field}
        label="Input"
        placeholder="What the agent is to do"
        autosize
        minRows={5}
        maxRows={16}
        value={task.input}
        error={error}
        onChange={(event) => change(changeTask(draft, task.id, { input: event.currentTarget.value }))}
      />
      <Menu position="bottom-start">
        <Menu.Target>
          <Button mt={6} size="compact-xs" variant="subtle" leftSection={<IconBraces size={13} />} disabled={before.length === 0}>
            Insert the answer of another task
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {before.map((other) => (
            <Menu.Item key={other} onClick={() => insert(other)}>
              {other}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </div>
  );
}

function ApprovalFields({ task, edit, error }: { task: DraftTask; edit: (part: Partial<DraftTask>) => void; error: string | undefined }) {
  const { approval } = task;
  const change = (part: Partial<DraftApproval>) => approval && edit({ approval: { ...approval, ...part } });
  return (
    <div className={classes.approval}>
      <Checkbox
        label="Ask me before it begins"
        checked={approval !== undefined}
        error={error}
        onChange={(event) => edit({ approval: event.currentTarget.checked ? newApproval() : undefined })}
      />
      {approval && (
        <>
          <TextInput label="Question" placeholder={`May ${task.id} begin?`} maxLength={2000} value={approval.message} onChange={(event) => change({ message: event.currentTarget.value })} />
          <Group grow>
            <NumberInput
              label="Hours to decide"
              min={0.01}
              max={168}
              decimalScale={2}
              value={Math.round((approval.timeout_seconds / 3600) * 100) / 100}
              onChange={(value) => change({ timeout_seconds: Math.max(1, Math.round((Number(value) || 0) * 3600)) })}
            />
            <Select
              label="Without a decision"
              allowDeselect={false}
              data={[
                { value: "rejected", label: "Rejected" },
                { value: "approved", label: "Approved" },
              ]}
              value={approval.default_decision}
              onChange={(value) => change({ default_decision: value === "approved" ? "approved" : "rejected" })}
            />
          </Group>
        </>
      )}
    </div>
  );
}
