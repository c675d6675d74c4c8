import { Button, Group, PasswordInput, Select, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { accountService } from "@/api/services/accountService";
import { checkPassword, checkUsername } from "@/auth/credentials";
import { UserRole } from "@gen/agentmesh/identity/v1/identity_pb";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { USERS } from "./UsersPage";
import classes from "./Admin.module.css";

const ROLES = [
  { value: String(UserRole.USER), label: "User" },
  { value: String(UserRole.ADMIN), label: "Administrator" },
];

/** Creates an account with a first password, which its owner should change. */
export function NewUser({ close }: { close: () => void }) {
  const queries = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<UserRole>(UserRole.USER);
  const [checked, setChecked] = useState(false);
  const creation = useMutation({
    mutationFn: () => accountService.createUser({ username: username.trim(), password, role }),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: USERS });
      close();
    },
  });
  const problems = { username: checkUsername(username.trim()), password: checkPassword(password) };
  return (
    <form
      className={classes.card}
      aria-label="New user"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        setChecked(true);
        if (!problems.username && !problems.password) creation.mutate();
      }}
    >
      <TextInput
        label="User name"
        autoComplete="off"
        autoFocus
        value={username}
        error={checked && problems.username}
        onChange={(event) => setUsername(event.currentTarget.value)}
      />
      <PasswordInput
        label="First password"
        description="At least 10 characters. Tell it to the user, who should change it."
        autoComplete="new-password"
        value={password}
        error={checked && problems.password}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
      <Select label="Role" w={200} data={ROLES} value={String(role)} allowDeselect={false} onChange={(next) => setRole(Number(next))} />
      {creation.error && <ErrorPanel error={creation.error} />}
      <Group gap="sm">
        <Button type="submit" size="compact-sm" loading={creation.isPending}>
          Create user
        </Button>
        <Button size="compact-sm" variant="default" onClick={close}>
          Cancel
        </Button>
      </Group>
    </form>
  );
}
