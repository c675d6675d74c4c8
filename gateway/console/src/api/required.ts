/** A message field that the contract always sets. Fails with `message` if a server does not. */
export function required<T>(value: T | undefined, message: string): T {
  if (value === undefined) throw new Error(message);
  return value;
}
