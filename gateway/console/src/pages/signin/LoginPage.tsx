import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { getRouteApi, Link, useRouter } from "@tanstack/react-router";
import { useState } from "react";

import { useAuth } from "@/auth/AuthContext";
import { safeReturnPath } from "@/auth/returnPath";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { SignInFrame } from "./SignInFrame";
import classes from "./SignIn.module.css";

const route = getRouteApi("/login");

export function LoginPage() {
  const { next } = route.useSearch();
  const { login } = useAuth();
  const router = useRouter();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const attempt = useMutation({
    mutationFn: () => login(username.trim(), password),
    onSuccess: () => router.history.replace(safeReturnPath(next)),
  });
  return (
    <SignInFrame
      title="Log in"
      lead={next ? "You return to the page that you came from." : "Find an agent, give it work, see what it cost."}
      foot={
        <>
          No account yet?{" "}
          <Link to="/register" search={next ? { next } : {}}>
            Register
          </Link>
        </>
      }
    >
      <form
        className={classes.form}
        onSubmit={(event) => {
          event.preventDefault();
          attempt.mutate();
        }}
      >
        <TextInput
          label="User name"
          name="username"
          autoComplete="username"
          autoFocus
          required
          withAsterisk={false}
          value={username}
          onChange={(event) => setUsername(event.currentTarget.value)}
        />
        <PasswordInput
          label="Password"
          name="password"
          autoComplete="current-password"
          required
          withAsterisk={false}
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        {attempt.error && <ErrorPanel error={attempt.error} />}
        <Button type="submit" loading={attempt.isPending} mt={4}>
          Log in
        </Button>
      </form>
    </SignInFrame>
  );
}
