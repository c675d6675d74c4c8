/** The tokens of the session, as they are kept in localStorage. */
export interface Tokens {
  accessToken: string;
  refreshToken: string;
  /** When the access token expires, in milliseconds since 1970, by this machine's clock. */
  expiresAt: number;
}

const KEY = "agentmesh.tokens";

/** Reads the tokens; `null` if nobody is logged in. */
export function readTokens(): Tokens | null {
  try {
    const text = localStorage.getItem(KEY);
    if (!text) return null;
    const tokens = JSON.parse(text) as Partial<Tokens>;
    return tokens.accessToken && tokens.refreshToken && typeof tokens.expiresAt === "number" ? (tokens as Tokens) : null;
  } catch {
    return null;
  }
}

export function writeTokens(tokens: Tokens | null): void {
  if (tokens) localStorage.setItem(KEY, JSON.stringify(tokens));
  else localStorage.removeItem(KEY);
}

/** Calls `listener` when another tab has changed the tokens. */
export function onTokensChanged(listener: () => void): () => void {
  const handle = (event: StorageEvent) => {
    // `key` is null when the whole storage was cleared.
    if (event.key === KEY || event.key === null) listener();
  };
  window.addEventListener("storage", handle);
  return () => window.removeEventListener("storage", handle);
}
