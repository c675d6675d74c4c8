import { Button, Group, Popover } from "@mantine/core";
import { useState } from "react";

import { ErrorPanel } from "./ErrorPanel";
import classes from "./ConfirmButton.module.css";

interface Command {
  mutate: (variables: void, options?: { onSuccess?: () => void }) => void;
  isPending: boolean;
  error: unknown;
  reset: () => void;
}

interface ConfirmButtonProps {
  label: string;
  /** What the command changes, for screen readers: `the key ci`. */
  of: string;
  question: string;
  /** What happens, and whether it can be undone. */
  consequence: string;
  command: Command;
  variant?: string;
}

/** A button for a command that cannot be undone: it asks first, and shows the error of the command beside itself. */
export function ConfirmButton({ label, of, question, consequence, command, variant = "default" }: ConfirmButtonProps) {
  const [open, setOpen] = useState(false);
  const toggle = (next: boolean) => {
    if (!next) command.reset();
    setOpen(next);
  };
  return (
    <Popover opened={open} onChange={toggle} position="bottom-end" width={320} shadow="md" trapFocus returnFocus>
      <Popover.Target>
        <Button size="compact-sm" variant={variant} aria-label={of ? `${label} ${of}` : label} onClick={() => toggle(!open)}>
          {label}
        </Button>
      </Popover.Target>
      <Popover.Dropdown maw="calc(100vw - 24px)" role="alertdialog" aria-label={question}>
        <div className={classes.question}>{question}</div>
        <p className={classes.consequence}>{consequence}</p>
        {command.error ? <ErrorPanel error={command.error} /> : null}
        <Group gap="sm" mt="sm">
          <Button
            size="compact-sm"
            color="red"
            loading={command.isPending}
            onClick={() => command.mutate(undefined, { onSuccess: () => setOpen(false) })}
          >
            {label}
          </Button>
          <Button size="compact-sm" variant="default" onClick={() => toggle(false)}>
            Cancel
          </Button>
        </Group>
      </Popover.Dropdown>
    </Popover>
  );
}
