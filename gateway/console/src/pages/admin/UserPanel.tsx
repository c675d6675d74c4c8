import { ActionIcon, Button, Group, Skeleton } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { IconX } from "@tabler/icons-react";

import { accountService } from "@/api/services/accountService";
import { useAuth } from "@/auth/AuthContext";
import { UserRole, type ApiKey, type User } from "@gen/agentmesh/identity/v1/identity_pb";
import { count } from "@/shared/format";
import { ConfirmButton } from "@/shared/ui/ConfirmButton";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { LinkButton } from "@/shared/ui/LinkButton";
import { Section } from "@/shared/ui/Page";
import { Time } from "@/shared/ui/Time";
import { USERS } from "./UsersPage";
import classes from "./Admin.module.css";

/** One user, with what an administrator can do about them. */
export function UserPanel({ user, close }: { user: User; close: () => void }) {
  const { user: me } = useAuth();
  const own = me?.userId === user.userId;
  return (
    <aside className={classes.panel} aria-label={user.username}>
      <div className={classes.panelHead}>
        <h2>{user.username}</h2>
        <ActionIcon variant="subtle" color="gray" aria-label="Close" onClick={close}>
          <IconX size={16} />
        </ActionIcon>
      </div>
      <Group gap="sm">
        <LinkButton to="/analytics" search={{ user: String(user.userId) }} size="compact-sm" variant="default">
          Usage
        </LinkButton>
        <LinkButton to="/admin/audit" search={{ actor: String(user.userId) }} size="compact-sm" variant="default">
          Audit log
        </LinkButton>
      </Group>
      {own ? <p className={classes.note}>This is you. Another administrator can change your role.</p> : <Authority user={user} />}
      <Sessions user={user} />
      <Keys user={user} />
    </aside>
  );
}

function Authority({ user }: { user: User }) {
  const queries = useQueryClient();
  const done = { onSuccess: () => queries.invalidateQueries({ queryKey: USERS }) };
  const admin = user.role === UserRole.ADMIN;
  const role = useMutation({
    mutationFn: () => accountService.updateUser({ userId: user.userId, role: admin ? UserRole.USER : UserRole.ADMIN }),
    ...done,
  });
  const state = useMutation({ mutationFn: () => accountService.updateUser({ userId: user.userId, disabled: !user.disabled }), ...done });
  return (
    <Group gap="sm">
      <ConfirmButton
        label={admin ? "Make a user" : "Make an administrator"}
        of={user.username}
        question={admin ? `Take the administrator's role from ${user.username}?` : `Make ${user.username} an administrator?`}
        consequence={
          admin
            ? "Runs and approvals that need the role fail from now on."
            : "Administrators see the work of all users, and can change every account."
        }
        command={role}
      />
      {user.disabled ? (
        <Button size="compact-sm" variant="default" loading={state.isPending} onClick={() => state.mutate()}>
          Enable
        </Button>
      ) : (
        <ConfirmButton
          label="Disable"
          of={user.username}
          question={`Disable ${user.username}?`}
          consequence="All sessions and API keys are refused within a second, and runs in progress are cancelled. You can enable the user again."
          command={state}
        />
      )}
      {state.error && user.disabled && <ErrorPanel error={state.error} />}
    </Group>
  );
}

function Sessions({ user }: { user: User }) {
  const queries = useQueryClient();
  const key = [...USERS, "sessions", user.userId];
  const { data, error, refetch } = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => accountService.listSessions({ userId: user.userId, pageSize: 200 }, signal),
  });
  const ending = useMutation({
    mutationFn: () => accountService.revokeSessionsOf(user.userId),
    onSuccess: () => queries.invalidateQueries({ queryKey: key }),
  });
  return (
    <Section title="Sessions">
      {error ? (
        <ErrorPanel error={error} retry={() => void refetch()} />
      ) : !data ? (
        <Skeleton height={24} />
      ) : (
        <Group gap="sm">
          {data.sessions.length === 0 ? "Not logged in." : `${count(data.sessions.length, "session")}${data.nextPageToken ? " or more" : ""}`}
          {data.sessions.length > 0 && (
            <ConfirmButton
              label="End all"
              of={`sessions of ${user.username}`}
              question={`End all sessions of ${user.username}?`}
              consequence="The user has to log in again. API keys stay valid."
              command={ending}
            />
          )}
        </Group>
      )}
    </Section>
  );
}

function Keys({ user }: { user: User }) {
  const key = [...USERS, "keys", user.userId];
  const { data, error, refetch } = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => accountService.listApiKeys({ userId: user.userId, pageSize: 200 }, signal),
  });
  const valid = data?.apiKeys.filter((each) => !each.revokedAt);
  return (
    <Section title="API keys">
      {error ? (
        <ErrorPanel error={error} retry={() => void refetch()} />
      ) : !valid ? (
        <Skeleton height={24} />
      ) : valid.length === 0 ? (
        "No valid keys."
      ) : (
        <ul className={classes.keys}>
          {valid.map((each) => (
            <Key key={each.apiKeyId} apiKey={each} queryKey={key} />
          ))}
        </ul>
      )}
    </Section>
  );
}

function Key({ apiKey, queryKey }: { apiKey: ApiKey; queryKey: readonly unknown[] }) {
  const queries = useQueryClient();
  const revocation = useMutation({
    mutationFn: () => accountService.revokeApiKey(apiKey.apiKeyId),
    onSuccess: () => queries.invalidateQueries({ queryKey }),
  });
  return (
    <li>
      <span className="truncate">{apiKey.name}</span>
      <span className="dim">
        used <Time at={apiKey.lastUsedAt} />
      </span>
      <ConfirmButton
        label="Revoke"
        of={`the key ${apiKey.name}`}
        question={`Revoke the key “${apiKey.name}”?`}
        consequence="Programs that use it, and the keys that it created, are refused within a second. This cannot be undone."
        command={revocation}
      />
    </li>
  );
}
