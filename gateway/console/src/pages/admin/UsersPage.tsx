import { Button, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { IconPlus, IconSearch, IconUsers } from "@tabler/icons-react";
import { useEffect, useMemo, useState } from "react";

import { accountService } from "@/api/services/accountService";
import { useAuth } from "@/auth/AuthContext";
import { UserRole, type User } from "@gen/agentmesh/identity/v1/identity_pb";
import { dateOf } from "@/shared/format";
import { compactSearch } from "@/shared/search";
import { useDebounced } from "@/shared/useDebounced";
import { DataTable, ExportButton, type Column } from "@/shared/ui/DataTable";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel, NoPermission } from "@/shared/ui/ErrorPanel";
import { Page } from "@/shared/ui/Page";
import { StatusBadge } from "@/shared/ui/StatusBadge";
import { Time } from "@/shared/ui/Time";
import { NewUser } from "./NewUser";
import { UserPanel } from "./UserPanel";
import classes from "./Admin.module.css";

const route = getRouteApi("/app/admin/users");

export const USERS = ["users"] as const;

export function UsersPage() {
  const { user, isAdmin } = useAuth();
  if (user && !isAdmin) return <NoPermission what="The list of users" />;
  return <Users />;
}

function Users() {
  const { isAdmin } = useAuth();
  const { q, user: selected } = route.useSearch();
  const navigate = route.useNavigate();
  const [name, setName] = useState(q ?? "");
  const [creating, setCreating] = useState(false);
  const wanted = useDebounced(name.trim(), 200);
  useEffect(() => {
    void navigate({ search: (old) => compactSearch({ ...old, q: wanted || undefined }), replace: true });
  }, [wanted, navigate]);
  const select = (userId: number | undefined) =>
    void navigate({ search: (old) => compactSearch({ ...old, user: userId?.toString() }), replace: true });
  const query = useInfiniteQuery({
    queryKey: [...USERS, "list", q],
    queryFn: ({ pageParam, signal }) => accountService.listUsers({ username: q ?? "", pageToken: pageParam, pageSize: 50 }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextPageToken || undefined,
    enabled: isAdmin,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.users), [query.data]);
  const open = rows?.find((each) => each.userId === Number(selected));
  return (
    <Page
      title="Users"
      subtitle="Who may use the platform, and what they may do"
      actions={
        <>
          <ExportButton label="Users" columns={COLUMNS} rows={rows} />
          <Button size="compact-sm" leftSection={<IconPlus size={14} />} onClick={() => setCreating(true)}>
            New user
          </Button>
        </>
      }
    >
      {creating && <NewUser close={() => setCreating(false)} />}
      <div className={classes.filters}>
        <TextInput
          size="xs"
          w={260}
          aria-label="User name"
          placeholder="User name begins with…"
          leftSection={<IconSearch size={14} />}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
      </div>
      {query.error && !rows ? (
        <ErrorPanel error={query.error} title="The users could not be loaded" retry={() => void query.refetch()} />
      ) : (
        <div className={classes.columns} data-open={open ? true : undefined}>
          <DataTable
            label="Users"
            columns={COLUMNS}
            rows={rows}
            rowKey={(each) => each.userId}
            onRowClick={(each) => select(each.userId)}
            loadMore={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
            loadingMore={query.isFetchingNextPage}
            empty={<EmptyState icon={<IconUsers size={26} />} title="No user has such a name" />}
          />
          {open && <UserPanel key={open.userId} user={open} close={() => select(undefined)} />}
        </div>
      )}
    </Page>
  );
}

const COLUMNS: readonly Column<User>[] = [
  {
    key: "name",
    heading: "User",
    cell: (user) => (
      <Link to="/admin/users" search={(old) => ({ ...old, user: String(user.userId) })} className="truncate">
        {user.username}
      </Link>
    ),
    csv: (user) => user.username,
  },
  {
    key: "role",
    heading: "Role",
    cell: (user) => (user.role === UserRole.ADMIN ? "Administrator" : "User"),
    csv: (user) => (user.role === UserRole.ADMIN ? "administrator" : "user"),
    width: 130,
  },
  {
    key: "state",
    heading: "State",
    cell: (user) => (user.disabled ? <StatusBadge label="Disabled" tone="failed" /> : <StatusBadge label="Active" tone="completed" />),
    csv: (user) => (user.disabled ? "disabled" : "active"),
    width: 110,
  },
  { key: "id", heading: "Id", cell: (user) => user.userId, csv: (user) => user.userId, numeric: true, width: 80, secondary: true },
  { key: "since", heading: "Registered", cell: (user) => <Time at={user.createdAt} />, csv: (user) => dateOf(user.createdAt), numeric: true, width: 120, secondary: true },
];
