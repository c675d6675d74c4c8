/**
 * Mutual exclusion between the tabs of one browser.
 *
 * Web Locks exist only in secure contexts (https, localhost). On a plain-HTTP origin, a lease in localStorage takes their place: it is
 * renewed while the lock is held and taken over once it has expired, so a closed tab blocks the others for at most `LEASE_MS`.
 */
const LEASE_MS = 4_000;
const RENEW_MS = 1_000;

export interface LockOptions {
  signal?: AbortSignal;
}

/** Runs `work` while no other tab holds `name`; waits for its turn. Rejects with the signal's reason if it is aborted while waiting. */
export function withLock<T>(name: string, work: () => Promise<T>, options: LockOptions = {}): Promise<T> {
  if (typeof navigator !== "undefined" && "locks" in navigator && navigator.locks) {
    const { signal } = options;
    return navigator.locks.request(name, signal ? { signal } : {}, work) as Promise<T>;
  }
  return withLease(name, work, options);
}

interface Lease {
  owner: string;
  until: number;
}

async function withLease<T>(name: string, work: () => Promise<T>, { signal }: LockOptions): Promise<T> {
  const key = `agentmesh.lock.${name}`;
  const owner = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  while (!(await acquire(key, owner))) {
    signal?.throwIfAborted();
    await pause(200 + Math.random() * 200);
  }
  const renewal = setInterval(() => write(key, owner), RENEW_MS);
  const release = () => {
    if (read(key)?.owner === owner) localStorage.removeItem(key);
  };
  window.addEventListener("pagehide", release);
  try {
    return await work();
  } finally {
    clearInterval(renewal);
    window.removeEventListener("pagehide", release);
    release();
  }
}

async function acquire(key: string, owner: string): Promise<boolean> {
  const lease = read(key);
  if (lease && lease.owner !== owner && lease.until > Date.now()) return false;
  write(key, owner);
  // Two tabs may have written at the same moment; the later write wins, and both see it after this pause.
  await pause(50);
  return read(key)?.owner === owner;
}

function read(key: string): Lease | undefined {
  try {
    const text = localStorage.getItem(key);
    return text ? (JSON.parse(text) as Lease) : undefined;
  } catch {
    return undefined;
  }
}

function write(key: string, owner: string): void {
  localStorage.setItem(key, JSON.stringify({ owner, until: Date.now() + LEASE_MS } satisfies Lease));
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
