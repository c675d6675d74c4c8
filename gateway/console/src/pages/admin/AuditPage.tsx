import { Select, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { IconClipboardList } from "@tabler/icons-react";
import { useMemo } from "react";

import { accountService } from "@/api/services/accountService";
import { useAuth } from "@/auth/AuthContext";
import type { AuditEntry } from "@gen/agentmesh/identity/v1/identity_pb";
import { dateOf, NONE } from "@/shared/format";
import { inWords } from "@/shared/inWords";
import { compactSearch } from "@/shared/search";
import { CopyButton } from "@/shared/ui/CopyButton";
import { DataTable, ExportButton, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel, NoPermission } from "@/shared/ui/ErrorPanel";
import { Page } from "@/shared/ui/Page";
import { Time } from "@/shared/ui/Time";
import { ACTIONS, actionInWords } from "./actions";
import classes from "./Admin.module.css";

const route = getRouteApi("/app/admin/audit");

export function AuditPage() {
  const { user, isAdmin } = useAuth();
  if (user && !isAdmin) return <NoPermission what="The audit log" />;
  return <Entries />;
}

function Entries() {
  const { isAdmin } = useAuth();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const change = (part: typeof search) => void navigate({ search: (old) => compactSearch({ ...old, ...part }), replace: true });
  const actor = Number(search.actor) || 0;
  const action = search.action ?? "";
  const query = useInfiniteQuery({
    queryKey: ["audit", action, actor],
    queryFn: ({ pageParam, signal }) => accountService.listAuditEntries({ action, actorId: actor, pageToken: pageParam, pageSize: 50 }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
    enabled: isAdmin,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.entries), [query.data]);
  return (
    <Page
      title="Audit log"
      subtitle="Who changed accounts and keys, who was refused, and from where"
      actions={<ExportButton label="Audit log" columns={COLUMNS} rows={rows} />}
    >
      <div className={classes.filters}>
        <Select
          size="xs"
          w={240}
          aria-label="Action"
          placeholder="Any action"
          clearable
          searchable
          data={Object.entries(ACTIONS).map(([value, label]) => ({ value, label }))}
          value={search.action ?? null}
          onChange={(next) => change({ action: next ?? undefined })}
        />
        <TextInput
          size="xs"
          w={150}
          aria-label="Id of the user who acted"
          placeholder="Id of the actor"
          inputMode="numeric"
          value={search.actor ?? ""}
          onChange={(event) => change({ actor: event.currentTarget.value.replaceAll(/\D/g, "") || undefined })}
        />
      </div>
      {query.error && !rows ? (
        <ErrorPanel error={query.error} title="The audit log could not be loaded" retry={() => void query.refetch()} />
      ) : (
        <DataTable
          label="Audit log"
          columns={COLUMNS}
          rows={rows}
          rowKey={(entry) => String(entry.entryId)}
          loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
          loadingMore={query.isFetchingNextPage}
          empty={<EmptyState icon={<IconClipboardList size={26} />} title="No entry matches these filters" />}
        />
      )}
    </Page>
  );
}

const COLUMNS: readonly Column<AuditEntry>[] = [
  { key: "action", heading: "Action", cell: (entry) => actionInWords(entry.action), csv: (entry) => entry.action, width: 210 },
  {
    key: "actor",
    heading: "By",
    cell: ({ actorId }) =>
      actorId ? (
        <Link to="/admin/audit" search={(old) => ({ ...old, actor: String(actorId) })}>
          User {actorId}
        </Link>
      ) : (
        <span className="dim">Not logged in</span>
      ),
    csv: (entry) => entry.actorId || undefined,
    width: 130,
  },
  {
    key: "details",
    heading: "Details",
    cell: (entry) => <span className={classes.details}>{inWords(entry.details ?? {}) || entry.subject || NONE}</span>,
    csv: (entry) => JSON.stringify(entry.details ?? {}),
    secondary: true,
  },
  { key: "address", heading: "From", cell: (entry) => <span className="mono dim">{entry.address || NONE}</span>, csv: (entry) => entry.address, width: 140, secondary: true },
  {
    key: "request",
    heading: "Request",
    cell: ({ requestId }) => (requestId ? <CopyButton text={requestId} what="the request id" /> : NONE),
    csv: (entry) => entry.requestId,
    width: 80,
    secondary: true,
  },
  { key: "when", heading: "When", cell: (entry) => <Time at={entry.occurredAt} />, csv: (entry) => dateOf(entry.occurredAt), numeric: true, width: 110 },
];
