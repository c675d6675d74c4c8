import { createContext, use, useCallback, useEffect, useMemo, useSyncExternalStore, type ReactNode } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";

import { authService } from "@/api/services/authService";
import { UserRole, type User } from "@gen/agentmesh/identity/v1/identity_pb";
import { session } from "./session";

export interface Auth {
  loggedIn: boolean;
  /** The user who is logged in; absent until the platform has answered. */
  user: User | undefined;
  isAdmin: boolean;
  login: (username: string, password: string) => Promise<void>;
  register: (username: string, password: string) => Promise<void>;
  /** Ends this session. */
  logout: () => Promise<void>;
  /** Ends every session of the user, on every device. */
  logoutEverywhere: () => Promise<void>;
}

const AuthContext = createContext<Auth | null>(null);

export function AuthProvider({ children }: { children: ReactNode }) {
  const loggedIn = useSyncExternalStore(session.subscribe, () => session.loggedIn);
  const queries = useQueryClient();
  const me = useQuery({
    queryKey: ["me"],
    queryFn: ({ signal }) => authService.currentUser(signal),
    enabled: loggedIn,
    staleTime: 5 * 60_000,
  });

  // Nothing that one user has read may be shown to the next.
  useEffect(() => {
    if (!loggedIn) queries.clear();
  }, [loggedIn, queries]);

  const login = useCallback(async (username: string, password: string) => {
    session.begin(await authService.login(username, password));
  }, []);
  const register = useCallback(
    async (username: string, password: string) => {
      await authService.register(username, password);
      await login(username, password);
    },
    [login],
  );
  const logout = useCallback(async () => {
    try {
      await authService.logout();
    } finally {
      // Also when the platform cannot be reached: this browser forgets the tokens in any case.
      session.end();
    }
  }, []);
  const logoutEverywhere = useCallback(async () => {
    // Unlike `logout`, this must reach the platform, or other devices stay logged in.
    await authService.revokeAllSessions(false);
    session.end();
  }, []);

  const user = loggedIn ? me.data : undefined;
  const auth = useMemo<Auth>(
    () => ({ loggedIn, user, isAdmin: user?.role === UserRole.ADMIN, login, register, logout, logoutEverywhere }),
    [loggedIn, user, login, register, logout, logoutEverywhere],
  );
  return <AuthContext value={auth}>{children}</AuthContext>;
}

export function useAuth(): Auth {
  const auth = use(AuthContext);
  if (!auth) throw new Error("useAuth needs an AuthProvider above it");
  return auth;
}
