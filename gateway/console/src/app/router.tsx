import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Outlet, redirect } from "@tanstack/react-router";

import { safeReturnPath } from "@/auth/returnPath";
import { session } from "@/auth/session";
import { compactSearch, text } from "@/shared/search";
import * as search from "./searchParams";

// Every page is loaded when it is first opened. A page exports its component by name; its search parameters are validated here, so that
// a page can rely on them.

const root = createRootRoute({
  component: Outlet,
  notFoundComponent: lazyRouteComponent(() => import("./RootErrors"), "PageNotFound"),
  errorComponent: lazyRouteComponent(() => import("./RootErrors"), "PageFailed"),
});

const signIn = { validateSearch: (raw: Record<string, unknown>) => compactSearch({ next: text(raw.next) }) };
const onlyLoggedOut = ({ search: { next } }: { search: { next?: string | undefined } }) => {
  if (session.loggedIn) throw redirect({ href: safeReturnPath(next), replace: true });
};

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  ...signIn,
  beforeLoad: onlyLoggedOut,
  component: lazyRouteComponent(() => import("@/pages/signin"), "LoginPage"),
});

const register = createRoute({
  getParentRoute: () => root,
  path: "/register",
  ...signIn,
  beforeLoad: onlyLoggedOut,
  component: lazyRouteComponent(() => import("@/pages/signin"), "RegisterPage"),
});

/** Everything that needs a session, inside the navigation. */
const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  beforeLoad: ({ location }) => {
    if (!session.loggedIn) throw redirect({ to: "/login", search: { next: location.href }, replace: true });
  },
  component: lazyRouteComponent(() => import("./shell/Shell"), "Shell"),
});

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/marketplace", replace: true });
  },
});

const marketplace = createRoute({
  getParentRoute: () => app,
  path: "/marketplace",
  validateSearch: search.marketplace,
  component: lazyRouteComponent(() => import("@/pages/marketplace"), "MarketplacePage"),
});

const agent = createRoute({
  getParentRoute: () => app,
  path: "/agents/$agentId",
  validateSearch: search.agent,
  component: lazyRouteComponent(() => import("@/pages/agent"), "AgentPage"),
});

const dashboard = createRoute({
  getParentRoute: () => app,
  path: "/dashboard",
  validateSearch: search.dashboard,
  component: lazyRouteComponent(() => import("@/pages/dashboard"), "DashboardPage"),
});

const newWorkflow = createRoute({
  getParentRoute: () => app,
  path: "/workflows/new",
  validateSearch: search.newWorkflow,
  component: lazyRouteComponent(() => import("@/pages/builder"), "BuilderPage"),
});

const workflow = createRoute({
  getParentRoute: () => app,
  path: "/workflows/$workflowId",
  validateSearch: search.workflow,
  component: lazyRouteComponent(() => import("@/pages/workflow"), "WorkflowPage"),
});

const run = createRoute({
  getParentRoute: () => app,
  path: "/runs/$runId",
  validateSearch: search.run,
  component: lazyRouteComponent(() => import("@/pages/run"), "RunPage"),
});

const executions = createRoute({
  getParentRoute: () => app,
  path: "/executions",
  validateSearch: search.executions,
  component: lazyRouteComponent(() => import("@/pages/executions"), "ExecutionsPage"),
});

const execution = createRoute({
  getParentRoute: () => app,
  path: "/executions/$executionId",
  component: lazyRouteComponent(() => import("@/pages/executions"), "ExecutionPage"),
});

const analytics = createRoute({
  getParentRoute: () => app,
  path: "/analytics",
  validateSearch: search.analytics,
  component: lazyRouteComponent(() => import("@/pages/analytics"), "AnalyticsPage"),
});

const account = createRoute({
  getParentRoute: () => app,
  path: "/account",
  validateSearch: search.account,
  component: lazyRouteComponent(() => import("@/pages/account"), "AccountPage"),
});

const users = createRoute({
  getParentRoute: () => app,
  path: "/admin/users",
  validateSearch: search.users,
  component: lazyRouteComponent(() => import("@/pages/admin"), "UsersPage"),
});

const audit = createRoute({
  getParentRoute: () => app,
  path: "/admin/audit",
  validateSearch: search.audit,
  component: lazyRouteComponent(() => import("@/pages/admin"), "AuditPage"),
});

const pages = [
  marketplace,
  agent,
  dashboard,
  newWorkflow,
  workflow,
  run,
  executions,
  execution,
  analytics,
  account,
  users,
  audit,
] as const;

export const router = createRouter({
  routeTree: root.addChildren([home, login, register, app.addChildren(pages)]),
  defaultPreload: "intent",
  defaultPreloadStaleTime: 0,
  scrollRestoration: true,
  defaultPendingMs: 150,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
