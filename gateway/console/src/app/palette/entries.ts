import {
  IconBuildingStore,
  IconChartAreaLine,
  IconClipboardList,
  IconKey,
  IconLogout,
  IconPlayerPlay,
  IconPlus,
  IconReceipt,
  IconRobot,
  IconSitemap,
  IconUserCircle,
  IconUsers,
} from "@tabler/icons-react";
import type { useNavigate } from "@tanstack/react-router";
import type { ComponentType } from "react";

import type { Auth } from "@/auth/AuthContext";
import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import type { Run, Workflow } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { count, dateOf, relativeTime, words } from "@/shared/format";
import { RUN_STATUS, WORKFLOW_STATUS } from "@/shared/ui/StatusBadge";

export interface Entry {
  id: string;
  group: "Actions" | "Agents" | "Workflows" | "Runs";
  label: string;
  hint?: string;
  /** More words to find it by. */
  keywords?: string;
  icon: ComponentType<{ size?: number; stroke?: number }>;
  act: (context: { navigate: ReturnType<typeof useNavigate>; auth: Auth }) => void;
}

export function actionEntries(isAdmin: boolean): Entry[] {
  const action = (label: string, icon: Entry["icon"], act: Entry["act"], keywords = ""): Entry => ({
    id: `action-${label}`,
    group: "Actions",
    label,
    icon,
    act,
    keywords,
  });
  return [
    action("New workflow", IconPlus, ({ navigate }) => void navigate({ to: "/workflows/new" }), "create build builder"),
    action("Marketplace", IconBuildingStore, ({ navigate }) => void navigate({ to: "/marketplace" }), "find agents"),
    action("Workflows", IconSitemap, ({ navigate }) => void navigate({ to: "/dashboard" }), "dashboard runs"),
    action("Executions", IconReceipt, ({ navigate }) => void navigate({ to: "/executions" }), "books calls costs"),
    action("Analytics", IconChartAreaLine, ({ navigate }) => void navigate({ to: "/analytics" }), "costs figures usage latency"),
    action("API keys", IconKey, ({ navigate }) => void navigate({ to: "/account", search: { tab: "keys" } }), "create key token secret"),
    action("Account", IconUserCircle, ({ navigate }) => void navigate({ to: "/account" }), "password sessions usage"),
    ...(isAdmin
      ? [
          action("Users", IconUsers, ({ navigate }) => void navigate({ to: "/admin/users" }), "administration roles"),
          action("Audit log", IconClipboardList, ({ navigate }) => void navigate({ to: "/admin/audit" }), "administration"),
        ]
      : []),
    action("Log out", IconLogout, ({ auth }) => void auth.logout().catch(() => undefined), "sign out"),
  ];
}

export function agentEntries(agents: readonly Agent[]): Entry[] {
  return agents.map((agent) => ({
    id: `agent-${agent.agentId}`,
    group: "Agents",
    label: agent.name,
    hint: `${words(agent.category)} · ${words(agent.role)}`,
    icon: IconRobot,
    act: ({ navigate }) => void navigate({ to: "/agents/$agentId", params: { agentId: agent.agentId } }),
  }));
}

export function workflowEntries(workflows: readonly Workflow[]): Entry[] {
  return workflows.map((workflow) => ({
    id: `workflow-${workflow.workflowId}`,
    group: "Workflows",
    label: workflow.name,
    hint: `${count(workflow.taskCount, "task")} · ${WORKFLOW_STATUS[workflow.status].label}`,
    keywords: workflow.workflowId,
    icon: IconSitemap,
    act: ({ navigate }) => void navigate({ to: "/workflows/$workflowId", params: { workflowId: workflow.workflowId } }),
  }));
}

export function runEntries(runs: readonly Run[], workflowNames: ReadonlyMap<string, string>): Entry[] {
  return runs.map((run) => {
    const began = dateOf(run.createdAt);
    return {
      id: `run-${run.runId}`,
      group: "Runs",
      label: run.workflowId ? (workflowNames.get(run.workflowId) ?? "Run of a workflow") : run.agentId,
      hint: `${RUN_STATUS[run.status].label}${began ? ` · ${relativeTime(began)}` : ""}`,
      keywords: run.runId,
      icon: IconPlayerPlay,
      act: ({ navigate }) => void navigate({ to: "/runs/$runId", params: { runId: run.runId } }),
    };
  });
}

/** The entries that contain every word of the query, those that begin with it first. */
export function rank(entries: readonly Entry[], query: string, most: number): Entry[] {
  const wanted = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return entries.slice(0, most);
  const found = entries.filter((entry) => {
    const haystack = `${entry.label} ${entry.keywords ?? ""}`.toLowerCase();
    return wanted.every((word) => haystack.includes(word));
  });
  const begins = (entry: Entry) => Number(entry.label.toLowerCase().startsWith(wanted.join(" ")));
  return found.sort((a, b) => begins(b) - begins(a)).slice(0, most);
}
