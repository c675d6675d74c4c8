/** The actions of the audit log in words. */
export const ACTIONS: Readonly<Record<string, string>> = {
  "access.denied": "Refused by the policy",
  "api_key.created": "API key created",
  "api_key.revoked": "API key revoked",
  "login.failed": "Login refused",
  "login.succeeded": "Logged in",
  "object.administered": "Acted on another user's object",
  "password.changed": "Password changed",
  "password.rejected": "Wrong current password",
  "password.reset": "Password reset",
  "refresh_token.reused": "Refresh token used twice",
  "role.changed": "Role changed",
  "session.ended": "Session ended",
  "user.created": "User created",
  "user.disabled": "User disabled",
  "user.enabled": "User enabled",
  "user.registered": "User registered",
};

/** An action in words; one of a later version as it is. */
export function actionInWords(action: string): string {
  return ACTIONS[action] ?? action;
}
