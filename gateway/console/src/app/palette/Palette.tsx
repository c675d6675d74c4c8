import { Modal, TextInput } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { IconSearch } from "@tabler/icons-react";
import { useEffect, useId, useMemo, useRef, useState } from "react";

import { agentService } from "@/api/services/agentService";
import { workflowService } from "@/api/services/workflowService";
import { useAuth } from "@/auth/AuthContext";
import { useDebounced } from "@/shared/useDebounced";
import { actionEntries, agentEntries, rank, runEntries, workflowEntries, type Entry } from "./entries";
import classes from "./Palette.module.css";

/** Goes to any agent, workflow, run or page, or does an action, with the keyboard alone. */
export default function Palette({ opened, close }: { opened: boolean; close: () => void }) {
  return (
    <Modal
      opened={opened}
      onClose={close}
      withCloseButton={false}
      centered={false}
      padding={0}
      size={620}
      yOffset="12dvh"
      aria-label="Search agents, workflows, runs and actions"
    >
      {opened && <Search close={close} />}
    </Modal>
  );
}

function Search({ close }: { close: () => void }) {
  const [query, setQuery] = useState("");
  const [active, setActive] = useState(0);
  const listId = useId();
  const entries = useEntries(query);
  const listRef = useRef<HTMLDivElement>(null);
  const auth = useAuth();
  const navigate = useNavigate();

  useEffect(() => setActive(0), [query]);
  useEffect(() => {
    listRef.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [active, entries]);

  const choose = (entry: Entry | undefined) => {
    if (!entry) return;
    close();
    entry.act({ navigate, auth });
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.key === "ArrowDown") setActive((index) => Math.min(index + 1, entries.length - 1));
    else if (event.key === "ArrowUp") setActive((index) => Math.max(index - 1, 0));
    else if (event.key === "Enter") choose(entries[active]);
    else return;
    event.preventDefault();
  };

  return (
    <>
      <TextInput
        data-autofocus
        size="md"
        variant="unstyled"
        className={classes.input}
        leftSection={<IconSearch size={17} />}
        placeholder="Go to an agent, a workflow, a run, or do something"
        aria-label="Search"
        role="combobox"
        aria-expanded
        aria-controls={listId}
        aria-activedescendant={entries[active] ? `${listId}-${active}` : undefined}
        value={query}
        onChange={(event) => setQuery(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div ref={listRef} id={listId} role="listbox" aria-label="Results" className={classes.list}>
        {entries.map((entry, index) => (
          <div key={entry.id}>
            {entry.group !== entries[index - 1]?.group && (
              <div className={classes.group} role="presentation">
                {entry.group}
              </div>
            )}
            {/* The keyboard works in the text field above; options follow the pointer only. */}
            <div
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === active}
              className={classes.option}
              onPointerMove={() => setActive(index)}
              onClick={() => choose(entry)}
            >
              <entry.icon size={16} stroke={1.7} />
              <span className={classes.label}>{entry.label}</span>
              {entry.hint && <span className={classes.hint}>{entry.hint}</span>}
            </div>
          </div>
        ))}
        {entries.length === 0 && <div className={classes.none}>Nothing matches “{query}”.</div>}
      </div>
      <div className={classes.keys}>↑ ↓ to choose · Enter to open · Esc to close</div>
    </>
  );
}

function useEntries(query: string): Entry[] {
  const { isAdmin } = useAuth();
  const search = useDebounced(query.trim(), 120);
  const agents = useQuery({
    queryKey: ["palette", "agents", search],
    queryFn: ({ signal }) => agentService.listAgents({ search, limit: 6 }, signal),
    placeholderData: keepPreviousData,
    enabled: search !== "",
  });
  const workflows = useQuery({
    queryKey: ["workflows", "palette"],
    queryFn: ({ signal }) => workflowService.listWorkflows({ pageSize: 200 }, signal),
  });
  const runs = useQuery({ queryKey: ["runs", "palette"], queryFn: ({ signal }) => workflowService.listRuns({ pageSize: 50 }, signal) });

  return useMemo(() => {
    const names = new Map(workflows.data?.workflows.map((each) => [each.workflowId, each.name]));
    return [
      ...rank(actionEntries(isAdmin), query, 12),
      // The platform has ranked the agents.
      ...(query.trim() ? agentEntries(agents.data?.agents.length ? agents.data.agents : (agents.data?.nearest ?? [])) : []),
      ...rank(workflowEntries(workflows.data?.workflows ?? []), query, 6),
      ...rank(runEntries(runs.data?.runs ?? [], names), query, 6),
    ];
  }, [query, isAdmin, agents.data, workflows.data, runs.data]);
}
