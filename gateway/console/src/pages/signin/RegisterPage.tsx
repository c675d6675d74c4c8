import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { getRouteApi, Link, useRouter } from "@tanstack/react-router";
import { useState } from "react";

import { useAuth } from "@/auth/AuthContext";
import { safeReturnPath } from "@/auth/returnPath";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { checkPassword, checkUsername } from "@/auth/credentials";
import { SignInFrame } from "./SignInFrame";
import classes from "./SignIn.module.css";

const route = getRouteApi("/register");

export function RegisterPage() {
  const { next } = route.useSearch();
  const { register } = useAuth();
  const router = useRouter();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [checked, setChecked] = useState(false);
  const attempt = useMutation({
    mutationFn: () => register(username.trim(), password),
    onSuccess: () => router.history.replace(safeReturnPath(next)),
  });
  const problems = { username: checkUsername(username.trim()), password: checkPassword(password) };
  return (
    <SignInFrame
      title="Create an account"
      lead="You can then run every agent that is not restricted."
      foot={
        <>
          Already registered?{" "}
          <Link to="/login" search={next ? { next } : {}}>
            Log in
          </Link>
        </>
      }
    >
      <form
        className={classes.form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          setChecked(true);
          if (!problems.username && !problems.password) attempt.mutate();
        }}
      >
        <TextInput
          label="User name"
          name="username"
          autoComplete="username"
          autoFocus
          value={username}
          error={checked && problems.username}
          onChange={(event) => setUsername(event.currentTarget.value)}
        />
        <PasswordInput
          label="Password"
          description="At least 10 characters"
          name="password"
          autoComplete="new-password"
          value={password}
          error={checked && problems.password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        {attempt.error && <ErrorPanel error={attempt.error} />}
        <Button type="submit" loading={attempt.isPending} mt={4}>
          Create account
        </Button>
      </form>
    </SignInFrame>
  );
}
