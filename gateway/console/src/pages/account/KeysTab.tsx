import { Button } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { IconKey, IconPlus } from "@tabler/icons-react";
import { useMemo, useState } from "react";

import { accountService } from "@/api/services/accountService";
import type { ApiKey } from "@gen/agentmesh/identity/v1/identity_pb";
import { dateOf } from "@/shared/format";
import { ConfirmButton } from "@/shared/ui/ConfirmButton";
import { DataTable, ExportButton, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import { NewKey } from "./NewKey";
import { SCOPES } from "./scopes";
import classes from "./Account.module.css";

export const KEYS = ["account", "keys"] as const;

/** The user's API keys, which programs use instead of a password. */
export function KeysTab() {
  const [creating, setCreating] = useState(false);
  const query = useInfiniteQuery({
    queryKey: KEYS,
    queryFn: ({ pageParam, signal }) => accountService.listApiKeys({ pageToken: pageParam, pageSize: 50 }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.apiKeys), [query.data]);
  return (
    <>
      <div className={classes.bar}>
        <p className={classes.lead}>A program sends its key in the header x-api-key. A key can do no more than its scopes allow.</p>
        <ExportButton label="API keys" columns={COLUMNS} rows={rows} />
        {!creating && (
          <Button size="compact-sm" leftSection={<IconPlus size={14} />} onClick={() => setCreating(true)}>
            New key
          </Button>
        )}
      </div>
      {creating && <NewKey close={() => setCreating(false)} />}
      {query.error && !rows ? (
        <ErrorPanel error={query.error} title="The API keys could not be loaded" retry={() => void query.refetch()} />
      ) : (
        <DataTable
          label="API keys"
          columns={COLUMNS}
          rows={rows}
          rowKey={(key) => key.apiKeyId}
          loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
          loadingMore={query.isFetchingNextPage}
          placeholderRows={3}
          empty={
            <EmptyState icon={<IconKey size={26} />} title="You have no API keys">
              Create one for each program that calls the platform, so that you can revoke it alone.
            </EmptyState>
          }
        />
      )}
    </>
  );
}

function stateOf(key: ApiKey): { label: string; tone: "idle" | "completed" | "failed" } {
  if (key.revokedAt) return { label: "Revoked", tone: "failed" };
  const expires = dateOf(key.expiresAt);
  if (expires && expires.getTime() <= Date.now()) return { label: "Expired", tone: "idle" };
  return { label: "Active", tone: "completed" };
}

const COLUMNS: readonly Column<ApiKey>[] = [
  { key: "name", heading: "Name", cell: (key) => <span className="truncate">{key.name}</span>, csv: (key) => key.name },
  { key: "state", heading: "State", cell: (key) => <StatusBadge {...stateOf(key)} />, csv: (key) => stateOf(key).label, width: 110 },
  { key: "prefix", heading: "Begins with", cell: (key) => <span className="mono dim">{key.prefix}…</span>, csv: (key) => key.prefix, width: 140, secondary: true },
  {
    key: "scopes",
    heading: "May",
    cell: (key) => key.scopes.map((scope) => SCOPES[scope]?.label.toLowerCase()).join(", "),
    csv: (key) => key.scopes.map((scope) => SCOPES[scope]?.label).join(" "),
    width: 190,
    secondary: true,
  },
  { key: "used", heading: "Last used", cell: (key) => <Time at={key.lastUsedAt} />, csv: (key) => dateOf(key.lastUsedAt), numeric: true, width: 110 },
  { key: "expires", heading: "Expires", cell: (key) => <Time at={key.expiresAt} />, csv: (key) => dateOf(key.expiresAt), numeric: true, width: 110, secondary: true },
  { key: "created", heading: "Created", cell: (key) => <Time at={key.createdAt} />, csv: (key) => dateOf(key.createdAt), numeric: true, width: 110, secondary: true },
  { key: "revoke", heading: "", cell: (key) => (stateOf(key).label === "Active" ? <Revoke apiKey={key} /> : null), numeric: true, width: 100 },
];

function Revoke({ apiKey }: { apiKey: ApiKey }) {
  const queries = useQueryClient();
  const revocation = useMutation({
    mutationFn: () => accountService.revokeApiKey(apiKey.apiKeyId),
    onSuccess: () => queries.invalidateQueries({ queryKey: KEYS }),
  });
  return (
    <ConfirmButton
      label="Revoke"
      of={`the key ${apiKey.name}`}
      question={`Revoke the key “${apiKey.name}”?`}
      consequence="Programs that use it, and the keys that it created, are refused within a second. This cannot be undone."
      command={revocation}
    />
  );
}
