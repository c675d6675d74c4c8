import { Tabs } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { IconPlus } from "@tabler/icons-react";

import { compactSearch } from "@/shared/search";
import { LinkButton } from "@/shared/ui/LinkButton";
import { Page } from "@/shared/ui/Page";
import { RunsTab } from "./RunsTab";
import { SavedViews } from "./SavedViews";
import { WorkflowsTab } from "./WorkflowsTab";

const route = getRouteApi("/app/dashboard");

/** The user's workflows, and all runs with the background executions of agents. */
export function DashboardPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const tab = search.tab ?? "workflows";
  const change = (part: Partial<typeof search>) => void navigate({ search: (old) => compactSearch({ ...old, ...part }), replace: true });
  return (
    <Page
      title="Workflows"
      subtitle="Agents that work in order, and what became of it"
      actions={
        <>
          <SavedViews search={search} open={(view) => void navigate({ search: view })} />
          <LinkButton to="/workflows/new" size="compact-sm" leftSection={<IconPlus size={14} />}>
            New workflow
          </LinkButton>
        </>
      }
    >
      <Tabs value={tab} onChange={(next) => void navigate({ search: next === "runs" ? { tab: "runs" } : {}, replace: true })} keepMounted={false}>
        <Tabs.List mb="sm">
          <Tabs.Tab value="workflows">Workflows</Tabs.Tab>
          <Tabs.Tab value="runs">Runs</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="workflows">
          <WorkflowsTab search={search} change={change} />
        </Tabs.Panel>
        <Tabs.Panel value="runs">
          <RunsTab search={search} change={change} />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
