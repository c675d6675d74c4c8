import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useEffect, useState } from "react";

import { copyText } from "../browser/clipboard";

interface CopyProps {
  text: string;
  /** What is copied, e.g. `request id`. */
  what: string;
  /** Shown beside the icon; without it the button is an icon. */
  label?: string;
}

export function CopyButton({ text, what, label }: CopyProps) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);

  const copy = () => void copyText(text).then(() => setCopied(true));
  const icon = copied ? <IconCheck size={14} /> : <IconCopy size={14} />;
  const said = copied ? "Copied" : `Copy ${what}`;
  if (label) {
    return (
      <Button size="compact-sm" variant="default" leftSection={icon} onClick={copy} aria-label={said}>
        {copied ? "Copied" : label}
      </Button>
    );
  }
  return (
    <Tooltip label={said}>
      <ActionIcon size="sm" variant="subtle" color="gray" onClick={copy} aria-label={said}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}

/** An id in short form, which is copied whole. */
export function CopyableId({ id, what }: { id: string; what: string }) {
  return (
    <span style={{ display: "inline-flex", alignItems: "center", gap: 2, minWidth: 0, maxWidth: "100%" }}>
      <span className="mono truncate" title={id}>
        {id}
      </span>
      <CopyButton text={id} what={what} />
    </span>
  );
}
