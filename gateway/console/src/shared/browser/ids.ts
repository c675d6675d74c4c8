/** A random id. `crypto.randomUUID` exists only in secure contexts, so this uses `getRandomValues`, which exists everywhere. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The id of this tab, for messages between tabs. */
export const TAB_ID = randomId();
