import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";

import { accountService } from "@/api/services/accountService";
import { authService } from "@/api/services/authService";
import { useAuth } from "@/auth/AuthContext";
import type { Session } from "@gen/agentmesh/identity/v1/identity_pb";
import { dateOf, NONE } from "@/shared/format";
import { ConfirmButton } from "@/shared/ui/ConfirmButton";
import { DataTable, ExportButton, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import classes from "./Account.module.css";

const SESSIONS = ["account", "sessions"] as const;

/** Where the user is logged in. */
export function SessionsTab() {
  const queries = useQueryClient();
  const { logoutEverywhere } = useAuth();
  const query = useInfiniteQuery({
    queryKey: SESSIONS,
    queryFn: ({ pageParam, signal }) => accountService.listSessions({ pageToken: pageParam, pageSize: 50 }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.sessions), [query.data]);
  const others = useMutation({
    mutationFn: () => authService.revokeAllSessions(true),
    onSuccess: () => queries.invalidateQueries({ queryKey: SESSIONS }),
  });
  const everywhere = useMutation({ mutationFn: logoutEverywhere });
  return (
    <>
      <div className={classes.bar}>
        <p className={classes.lead}>Each login is a session. A session that is not used expires.</p>
        <ExportButton label="Sessions" columns={COLUMNS} rows={rows} />
        <ConfirmButton
          label="End all others"
          of="all other sessions"
          question="End all other sessions?"
          consequence="Every other browser and program that logged in with your password has to log in again. API keys stay valid."
          command={others}
        />
        <ConfirmButton
          label="Log out everywhere"
          of=""
          question="Log out everywhere?"
          consequence="All sessions end, including this one. API keys stay valid."
          command={everywhere}
        />
      </div>
      {query.error && !rows ? (
        <ErrorPanel error={query.error} title="The sessions could not be loaded" retry={() => void query.refetch()} />
      ) : (
        <DataTable
          label="Sessions"
          columns={COLUMNS}
          rows={rows}
          rowKey={(session) => session.sessionId}
          loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
          loadingMore={query.isFetchingNextPage}
          placeholderRows={3}
          empty={<EmptyState title="You have no sessions" />}
        />
      )}
    </>
  );
}

const COLUMNS: readonly Column<Session>[] = [
  {
    key: "where",
    heading: "Logged in from",
    cell: ({ address, current }) => (
      <>
        <span className="mono">{address || NONE}</span> {current && <StatusBadge label="This browser" tone="completed" />}
      </>
    ),
    csv: (session) => session.address,
  },
  { key: "created", heading: "Since", cell: (each) => <Time at={each.createdAt} />, csv: (each) => dateOf(each.createdAt), numeric: true, width: 120 },
  { key: "expires", heading: "Expires", cell: (each) => <Time at={each.expiresAt} />, csv: (each) => dateOf(each.expiresAt), numeric: true, width: 120, secondary: true },
  { key: "end", heading: "", cell: (each) => (each.current ? null : <End session={each} />), numeric: true, width: 90 },
];

function End({ session }: { session: Session }) {
  const queries = useQueryClient();
  const ending = useMutation({
    mutationFn: () => accountService.revokeSession(session.sessionId),
    onSuccess: () => queries.invalidateQueries({ queryKey: SESSIONS }),
  });
  return (
    <ConfirmButton
      label="End"
      of={`the session from ${session.address || "an unknown address"}`}
      question="End this session?"
      consequence="That browser or program has to log in again."
      command={ending}
    />
  );
}
