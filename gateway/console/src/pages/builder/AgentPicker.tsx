import { Button, Modal, ScrollArea, Skeleton, TextInput, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { IconPlus, IconSearch } from "@tabler/icons-react";
import { useState } from "react";

import { agentService } from "@/api/services/agentService";
import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { words } from "@/shared/format";
import { useDebounced } from "@/shared/useDebounced";
import { whenToPick } from "@/shared/when";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import classes from "./Builder.module.css";

/** Finds an agent by what it is to do, and adds a task for it. */
export function AgentPicker({ pick, disabled }: { pick: (agent: Agent) => void; disabled: boolean }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const search = useDebounced(text.trim(), 150);
  const { data, error, refetch } = useQuery({
    queryKey: ["agents", "pick", search],
    queryFn: ({ signal }) => agentService.listAgents({ search, limit: 20 }, signal),
    enabled: open,
    staleTime: 60_000,
    placeholderData: (before) => before,
  });
  const agents = data && (data.agents.length > 0 ? data.agents : data.nearest);
  return (
    <>
      <Button size="compact-sm" variant="default" leftSection={<IconPlus size={14} />} disabled={disabled} onClick={() => setOpen(true)}>
        Add a task
      </Button>
      <Modal opened={open} onClose={() => setOpen(false)} title="Which agent does the task?" size="lg" closeButtonProps={{ "aria-label": "Close" }}>
        <TextInput
          data-autofocus
          aria-label="What the task is"
          placeholder="Say what is to be done, or the name of an agent"
          leftSection={<IconSearch size={15} />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <ScrollArea h="56dvh" mt="sm">
          {error ? (
            <ErrorPanel error={error} title="The agents could not be loaded" retry={() => void refetch()} />
          ) : !agents ? (
            Array.from({ length: 6 }, (_, index) => <Skeleton key={index} height={50} mb={8} />)
          ) : agents.length === 0 ? (
            <EmptyState title="No agent does this">Use other words.</EmptyState>
          ) : (
            agents.map((agent) => (
              <UnstyledButton
                key={agent.agentId}
                className={classes.choice}
                onClick={() => {
                  pick(agent);
                  setOpen(false);
                }}
              >
                <span className={classes.choiceName}>
                  {agent.name} <span className="dim">{words(agent.role)}</span>
                </span>
                <span className={classes.choiceWhen}>{whenToPick(agent.description).when}</span>
              </UnstyledButton>
            ))
          )}
        </ScrollArea>
      </Modal>
    </>
  );
}
