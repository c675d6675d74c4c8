import { ErrorReason } from "@gen/agentmesh/common/v1/error_reason_pb";

type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

export const LOST_CONNECTION = "Check your network, and that the platform is running. The page tries again when the connection is back.";

const SEND_AGAIN = "Nothing was charged. Try again in a moment.";
const REPORT = "Try again. If it happens again, report it with the request id: the platform's log has the cause under it.";

/** What a user of the console does next, for each reason of the error table. */
export const ADVICE: Record<Reason, string> = {
  AGENT_NOT_FOUND: "The agent may have been renamed or removed. Search the marketplace for another one.",
  AGENT_UNAVAILABLE: SEND_AGAIN,
  AGENT_EXECUTION_FAILED: "The call may have been charged: look at its execution. Then run it again.",
  WORKFLOW_NOT_FOUND: "It may have been deleted, or it belongs to another user. The dashboard lists yours.",
  WORKFLOW_ALREADY_RUNNING: "Open the active run, and wait for it or cancel it.",
  AUTH_INVALID_CREDENTIALS: "Check the user name and the password, then log in again.",
  AUTH_TOKEN_EXPIRED: "Log in again. You return to this page.",
  AUTH_TOKEN_BLACKLISTED: "This session was ended. Log in again.",
  POLICY_DENIED: "Your account may not do this. Ask an administrator if you need it.",
  VALIDATION_ERROR: "Correct the fields named below, then send it again.",
  RATE_LIMIT_EXCEEDED: "Wait for the time shown, then try again.",
  LLM_API_ERROR: "The model provider failed, not your input. Run it again in a minute.",
  LLM_API_TIMEOUT: "Run it again, ask for a shorter answer, or allow more time.",
  EXECUTION_NOT_FOUND: "It may have been removed under the retention rules, or it belongs to another user.",
  API_KEY_NOT_FOUND: "Reload the list of keys: it may have been revoked elsewhere.",
  RUN_NOT_FOUND: "It may have been deleted with its workflow, or it belongs to another user.",
  ROUTE_NOT_FOUND: "The console may be newer than the platform. Reload the page; if that does not help, report it.",
  METHOD_NOT_ALLOWED: "The console may be newer than the platform. Reload the page; if that does not help, report it.",
  BAD_REQUEST: REPORT,
  PAYLOAD_TOO_LARGE: "Shorten the input, or open the result in pieces.",
  USERNAME_TAKEN: "Choose another user name.",
  WORKFLOW_NOT_RUNNING: "There is nothing to cancel. Reload to see its last run.",
  APPROVAL_NOT_PENDING: "Somebody has decided already, or the time has run out. Reload the run.",
  IDEMPOTENCY_CONFLICT: "Reload the page and send the request again.",
  BUDGET_EXCEEDED: "Ask an administrator to raise the budget, or wait until its period begins anew.",
  GUARDRAIL_BLOCKED: "Reword the input so that it does not contain what the rule named above refuses.",
  SERVICE_UNAVAILABLE: SEND_AGAIN,
  UPSTREAM_TIMEOUT: "Try again. For long work, run the agent in the background.",
  CANCELLED: "Start it again if you need the result.",
  NOT_IMPLEMENTED: "This installation does not offer it yet.",
  INTERNAL: REPORT,
  ANSWER_INCOMPLETE: "Reword the input or ask for less: the same call would end the same way.",
  STEP_NOT_FOUND: "Reload the run and open the step from its graph.",
  RUN_NOT_ACTIVE: "The run has ended, so there is nothing to cancel.",
  USER_NOT_FOUND: "Check the user's number or name in the list of users.",
  SESSION_NOT_FOUND: "The session has ended already. Reload the list.",
  REGISTRATION_CLOSED: "Ask an administrator to create an account for you.",
  UNSUPPORTED_MEDIA_TYPE: REPORT,
};
