import { createClient } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";

import {
  AuthService,
  type CreateApiKeyRequestSchema,
  type CreateUserRequestSchema,
  type ListApiKeysRequestSchema,
  type ListAuditEntriesRequestSchema,
  type ListSessionsRequestSchema,
  type ListUsersRequestSchema,
  type UpdateUserRequestSchema,
} from "@gen/agentmesh/identity/v1/identity_service_pb";
import { transport } from "../transport";

const client = createClient(AuthService, transport);

/** API keys, sessions and the password of the user; users and the audit log for administrators. */
export const accountService = {
  listApiKeys: (request: MessageInitShape<typeof ListApiKeysRequestSchema>, signal?: AbortSignal) => client.listApiKeys(request, { signal }),
  /** The answer has the key's secret, once. */
  createApiKey: (request: MessageInitShape<typeof CreateApiKeyRequestSchema>) => client.createApiKey(request),
  revokeApiKey: (apiKeyId: string) => client.revokeApiKey({ apiKeyId }),
  listSessions: (request: MessageInitShape<typeof ListSessionsRequestSchema>, signal?: AbortSignal) =>
    client.listSessions(request, { signal }),
  revokeSession: (sessionId: string) => client.revokeSession({ sessionId }),
  changePassword: (currentPassword: string, newPassword: string) => client.changePassword({ currentPassword, newPassword }),
  listUsers: (request: MessageInitShape<typeof ListUsersRequestSchema>, signal?: AbortSignal) => client.listUsers(request, { signal }),
  createUser: (request: MessageInitShape<typeof CreateUserRequestSchema>) => client.createUser(request),
  updateUser: (request: MessageInitShape<typeof UpdateUserRequestSchema>) => client.updateUser(request),
  /** Ends all sessions of another user. */
  revokeSessionsOf: (userId: number) => client.revokeAllSessions({ userId }),
  listAuditEntries: (request: MessageInitShape<typeof ListAuditEntriesRequestSchema>, signal?: AbortSignal) =>
    client.listAuditEntries(request, { signal }),
};
