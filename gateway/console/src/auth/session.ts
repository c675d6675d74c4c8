import { Code, ConnectError } from "@connectrpc/connect";

import { withLock } from "@/shared/browser/locks";
import { onTokensChanged, readTokens, writeTokens, type Tokens } from "./tokens";

/** A new pair of tokens, as Login and RefreshToken answer it. */
export interface TokenPair {
  accessToken: string;
  refreshToken: string;
  expiresIn: number;
}

export type RefreshCall = (refreshToken: string) => Promise<TokenPair>;

/** An access token with less time left than this is refreshed before it is used. */
const MARGIN_MS = 60_000;

/**
 * The session of this browser. All tabs share it: one of them refreshes the tokens, the others take them from localStorage.
 * A refresh token works once, so refreshing happens under a lock between the tabs.
 */
export class Session {
  private tokens: Tokens | null = readTokens();
  private readonly listeners = new Set<() => void>();
  private renewal: Promise<string | null> | null = null;
  private refreshCall: RefreshCall | null = null;

  constructor() {
    onTokensChanged(() => this.adopt(readTokens()));
  }

  /** Sets how tokens are refreshed; called once at the start. */
  refreshWith(call: RefreshCall): void {
    this.refreshCall = call;
  }

  get loggedIn(): boolean {
    return this.tokens !== null;
  }

  /** Calls `listener` after every login and logout, in whichever tab it happened. */
  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Begins a session with the tokens of a login. */
  begin(pair: TokenPair): void {
    this.store(pair);
  }

  /** Forgets the tokens, in every tab. */
  end(): void {
    writeTokens(null);
    this.adopt(null);
  }

  /** A token that is good for the next minute; `null` if nobody is logged in. */
  async accessToken(): Promise<string | null> {
    const { tokens } = this;
    if (!tokens) return null;
    if (tokens.expiresAt - Date.now() > MARGIN_MS) return tokens.accessToken;
    try {
      return await this.renew(tokens.accessToken);
    } catch (error) {
      // The old token may still be good: let the platform decide.
      if (tokens.expiresAt > Date.now()) return tokens.accessToken;
      throw error;
    }
  }

  /**
   * Replaces `used`, a token that is expired or about to expire. Returns the next token, or `null` if the session has ended. Throws
   * when the platform cannot be reached; the session then continues.
   */
  renew(used: string): Promise<string | null> {
    this.renewal ??= withLock("agentmesh.refresh", () => this.renewLocked(used)).finally(() => {
      this.renewal = null;
    });
    return this.renewal;
  }

  private async renewLocked(used: string): Promise<string | null> {
    const current = readTokens();
    if (!current) {
      this.adopt(null);
      return null;
    }
    // Another tab has refreshed while this one waited for the lock.
    if (current.accessToken !== used) {
      this.adopt(current);
      return current.accessToken;
    }
    if (!this.refreshCall) throw new Error("the session has no way to refresh tokens");
    try {
      return this.store(await this.refreshCall(current.refreshToken)).accessToken;
    } catch (error) {
      if (!(error instanceof ConnectError) || error.code !== Code.Unauthenticated) throw error;
      this.end();
      return null;
    }
  }

  private store(pair: TokenPair): Tokens {
    const { accessToken, refreshToken, expiresIn } = pair;
    const tokens = { accessToken, refreshToken, expiresAt: Date.now() + expiresIn * 1000 };
    writeTokens(tokens);
    this.adopt(tokens);
    return tokens;
  }

  private adopt(tokens: Tokens | null): void {
    const changed = (this.tokens === null) !== (tokens === null);
    this.tokens = tokens;
    if (changed) for (const listener of this.listeners) listener();
  }
}

export const session = new Session();
