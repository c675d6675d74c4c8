import { compactSearch, list, oneOf, text, type RawSearch } from "@/shared/search";

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
  return compactSearch({ status: oneOf(raw.status, EXECUTION_STATES), agent: text(raw.agent, 200) });
}
export type ExecutionsSearch = ReturnType<typeof executions>;

export function analytics(raw: RawSearch) {
  return compactSearch({
    range: text(raw.range, 20),
    from: text(raw.from, 40),
    to: text(raw.to, 40),
    interval: text(raw.interval, 20),
    group: text(raw.group, 20),
    agent: text(raw.agent, 200),
    user: text(raw.user, 12),
    tab: text(raw.tab, 30),
  });
}

export function account(raw: RawSearch) {
  return compactSearch({ tab: oneOf(raw.tab, ["keys", "sessions", "usage", "password"] as const) });
}

export function users(raw: RawSearch) {
  return compactSearch({ q: text(raw.q, 255), user: text(raw.user, 12) });
}

export function audit(raw: RawSearch) {
  return compactSearch({ action: text(raw.action, 50), actor: text(raw.actor, 12) });
}
