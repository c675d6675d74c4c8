/** The path to return to after a login: only a path of this console, never another site or a sign-in page. */
export function safeReturnPath(path: unknown): string {
  if (typeof path !== "string" || !path.startsWith("/") || /^\/[/\\]/.test(path)) return "/marketplace";
  return /^\/(login|register)(\?|$)/.test(path) ? "/marketplace" : path;
}
