import { compactSearch, list, oneOf, text, time, type RawSearch } from "@/shared/search";

// The search parameters of every page. What a view shows is in its URL: filters, sorting, selection and open tabs.

export const AGENT_ORDERS = ["relevance", "name", "number"] as const;

export function marketplace(raw: RawSearch) {
  return compactSearch({
    q: text(raw.q),
    category: text(raw.category, 100),
    role: text(raw.role, 100),
    tags: list(raw.tags),
    order: oneOf(raw.order, AGENT_ORDERS),
  });
}
export type MarketplaceSearch = ReturnType<typeof marketplace>;

export const AGENT_TABS = ["run", "about", "api"] as const;

export function agent(raw: RawSearch) {
  return compactSearch({
    tab: oneOf(raw.tab, AGENT_TABS),
    /** The background execution that is shown. */
    run: text(raw.run, 64),
  });
}
export type AgentSearch = ReturnType<typeof agent>;

export const RUN_STATES = ["pending", "running", "waiting_approval", "cancelling", "completed", "failed", "cancelled"] as const;

export function dashboard(raw: RawSearch) {
  return compactSearch({
    tab: oneOf(raw.tab, ["workflows", "runs"] as const),
    q: text(raw.q),
    status: oneOf(raw.status, RUN_STATES),
    agent: text(raw.agent, 200),
    view: text(raw.view, 100),
  });
}

export function newWorkflow(raw: RawSearch) {
  return compactSearch({
    /** A workflow to begin from. */
    from: text(raw.from, 64),
    task: text(raw.task, 64),
  });
}

export function workflow(raw: RawSearch) {
  return compactSearch({ task: text(raw.task, 64) });
}

export function run(raw: RawSearch) {
  return compactSearch({ step: text(raw.step, 64), tab: text(raw.tab, 30) });
}

export const EXECUTION_STATES = ["running", "completed", "failed", "cancelled", "outcome_unknown"] as const;

export function executions(raw: RawSearch) {
  return compactSearch({
    status: oneOf(raw.status, EXECUTION_STATES),
    agent: text(raw.agent, 200),
    model: text(raw.model, 200),
    reason: text(raw.reason, 100),
    /** The id of an API key. */
    key: text(raw.key, 36),
    /** The id of a user, for administrators. */
    user: text(raw.user, 12),
    from: time(raw.from),
    to: time(raw.to),
  });
}
export type ExecutionsSearch = ReturnType<typeof executions>;

export const RANGES = ["24h", "7d", "30d", "90d", "365d"] as const;
export const METRICS = ["calls", "cost", "tokens", "duration"] as const;
export const BREAKDOWNS = ["agents", "category", "model", "key", "user", "day", "errors"] as const;
export const AGENT_STATS_ORDERS = ["calls", "cost", "failures", "duration"] as const;

export function analytics(raw: RawSearch) {
  return compactSearch({
    range: oneOf(raw.range, RANGES),
    /** A range of its own, instead of the last days. */
    from: time(raw.from),
    to: time(raw.to),
    metric: oneOf(raw.metric, METRICS),
    by: oneOf(raw.by, BREAKDOWNS),
    order: oneOf(raw.order, AGENT_STATS_ORDERS),
    agent: text(raw.agent, 200),
    user: text(raw.user, 12),
    view: oneOf(raw.view, ["table"] as const),
  });
}
export type AnalyticsSearch = ReturnType<typeof analytics>;

export function account(raw: RawSearch) {
  return compactSearch({ tab: oneOf(raw.tab, ["keys", "sessions", "usage", "password"] as const) });
}

export function users(raw: RawSearch) {
  return compactSearch({ q: text(raw.q, 255), user: text(raw.user, 12) });
}

export function audit(raw: RawSearch) {
  return compactSearch({ action: text(raw.action, 50), actor: text(raw.actor, 12) });
}
