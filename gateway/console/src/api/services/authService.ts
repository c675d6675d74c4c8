import { createClient } from "@connectrpc/connect";

import { AuthService } from "@gen/agentmesh/identity/v1/identity_service_pb";
import type { User } from "@gen/agentmesh/identity/v1/identity_pb";
import { openTransport, transport } from "../transport";
import type { TokenPair } from "@/auth/session";
import { session } from "@/auth/session";

const open = createClient(AuthService, openTransport);
const client = createClient(AuthService, transport);

/** Logging in and out. Everything else about users and keys is in `accountService`. */
export const authService = {
  login: (username: string, password: string): Promise<TokenPair> => open.login({ username, password }),

  register: async (username: string, password: string): Promise<void> => {
    await open.register({ username, password });
  },

  /** Ends the session of this browser. */
  logout: async (): Promise<void> => {
    await client.logout({});
  },

  /** Ends all sessions of the user and returns how many there were. */
  revokeAllSessions: async (keepCurrent: boolean): Promise<number> => (await client.revokeAllSessions({ keepCurrent })).endedSessions,

  refresh: (refreshToken: string): Promise<TokenPair> => open.refreshToken({ refreshToken }),

  currentUser: async (signal?: AbortSignal): Promise<User | undefined> => (await client.getCurrentUser({}, { signal })).user,
};

session.refreshWith(authService.refresh);
