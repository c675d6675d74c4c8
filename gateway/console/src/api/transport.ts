import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { session } from "@/auth/session";
import { reasonOf } from "./errors";

/** Where the platform answers: the build's `VITE_API_URL`, by default the origin that served the console. */
export const API_URL: string = (import.meta.env.VITE_API_URL as string | undefined) || window.location.origin;

/** Calls that need no credential. */
export const openTransport: Transport = createGrpcWebTransport({ baseUrl: API_URL });

/**
 * Adds the access token to every call. The token is refreshed shortly before it expires. A call that is refused because its token has
 * expired in the meantime is sent once more with the next token: the platform refuses such a call before it does anything.
 */
const authorize: Interceptor = (next) => async (request) => {
  const sent = await session.accessToken();
  if (sent) request.header.set("authorization", `Bearer ${sent}`);
  try {
    return await next(request);
  } catch (error) {
    if (!sent || !isExpired(error)) throw error;
    const renewed = await session.renew(sent);
    if (!renewed) throw error;
    request.header.set("authorization", `Bearer ${renewed}`);
    return await next(request);
  }
};

/** Calls in the name of the user who is logged in. */
export const transport: Transport = createGrpcWebTransport({ baseUrl: API_URL, interceptors: [authorize] });

function isExpired(error: unknown): boolean {
  if (!(error instanceof ConnectError) || error.code !== Code.Unauthenticated) return false;
  const reason = reasonOf(error);
  return reason === "AUTH_TOKEN_EXPIRED" || reason === "AUTH_TOKEN_BLACKLISTED";
}
