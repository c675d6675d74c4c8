import { Button, PasswordInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { accountService } from "@/api/services/accountService";
import { useAuth } from "@/auth/AuthContext";
import { checkPassword } from "@/auth/credentials";
import { count } from "@/shared/format";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import classes from "./Account.module.css";

/** Changes the password, which ends every other session. */
export function PasswordTab() {
  const { user } = useAuth();
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  const [checked, setChecked] = useState(false);
  const change = useMutation({
    mutationFn: () => accountService.changePassword(current, password),
    onSuccess: () => {
      setCurrent("");
      setPassword("");
      setChecked(false);
    },
  });
  const problems = { current: current === "" ? "Enter your current password." : undefined, password: checkPassword(password) };
  return (
    <form
      className={classes.narrow}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        setChecked(true);
        if (!problems.current && !problems.password) change.mutate();
      }}
    >
      <input type="text" name="username" autoComplete="username" value={user?.username ?? ""} readOnly hidden />
      <PasswordInput
        label="Current password"
        autoComplete="current-password"
        value={current}
        error={checked && problems.current}
        onChange={(event) => setCurrent(event.currentTarget.value)}
      />
      <PasswordInput
        label="New password"
        description="At least 10 characters. All other sessions end; API keys stay valid."
        autoComplete="new-password"
        value={password}
        error={checked && problems.password}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
      {change.error && <ErrorPanel error={change.error} />}
      {change.data && (
        <p role="status" className={classes.done}>
          The password is changed, and {count(change.data.endedSessions, "other session")} ended.
        </p>
      )}
      <Button type="submit" loading={change.isPending}>
        Change password
      </Button>
    </form>
  );
}
