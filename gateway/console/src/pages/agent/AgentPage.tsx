import { Skeleton, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { isNotFound } from "@/api/errors";
import { agentService } from "@/api/services/agentService";
import { AGENT_TABS, type AgentSearch } from "@/app/searchParams";
import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import { words } from "@/shared/format";
import { whenToPick } from "@/shared/when";
import { ErrorPanel, NotFound } from "@/shared/ui/ErrorPanel";
import { Page } from "@/shared/ui/Page";
import { AboutTab } from "./AboutTab";
import { ApiTab } from "./ApiTab";
import { Health } from "./Health";
import { RunTab } from "./RunTab";
import { useWork } from "./useWork";
import { LinkButton } from "@/shared/ui/LinkButton";
import classes from "./Agent.module.css";

const route = getRouteApi("/app/agents/$agentId");

export function AgentPage() {
  const { agentId } = route.useParams();
  const { data: agent, error, refetch } = useQuery({
    queryKey: ["agents", "one", agentId],
    queryFn: ({ signal }) => agentService.getAgent(agentId, signal),
    staleTime: 60_000,
  });
  if (error) {
    if (isNotFound(error)) return <NotFound what={`The agent “${agentId}”`}>{<BackToMarketplace />}</NotFound>;
    return (
      <Page title="Agent">
        <ErrorPanel error={error} title="The agent could not be loaded" retry={() => void refetch()} />
      </Page>
    );
  }
  // The key gives each agent its own draft and form.
  return agent ? <LoadedAgent key={agentId} agent={agent} /> : <Loading />;
}

function BackToMarketplace() {
  return (
    <LinkButton to="/marketplace" variant="default">
      Search the marketplace
    </LinkButton>
  );
}

function LoadedAgent({ agent }: { agent: Agent }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const change = (part: Partial<AgentSearch>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const tab = search.tab ?? "run";
  const work = useWork(agent);
  return (
    <Page
      title={agent.name}
      above={
        <>
          <Link to="/marketplace" search={{ category: agent.category }}>
            {words(agent.category)}
          </Link>
          {" › "}
          <Link to="/marketplace" search={{ category: agent.category, role: agent.role }}>
            {words(agent.role)}
          </Link>
        </>
      }
      subtitle={whenToPick(agent.description).when}
      actions={<Health agentId={agent.agentId} />}
    >
      <Tabs value={tab} onChange={(next) => change({ tab: AGENT_TABS.find((each) => each === next && each !== "run") })} keepMounted={false}>
        <Tabs.List className={classes.tabs}>
          <Tabs.Tab value="run">Run</Tabs.Tab>
          <Tabs.Tab value="about">About</Tabs.Tab>
          <Tabs.Tab value="api">Call it from code</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="run">
          <RunTab agent={agent} work={work} runId={search.run} showRun={(run) => change({ run })} />
        </Tabs.Panel>
        <Tabs.Panel value="about">
          <AboutTab agent={agent} />
        </Tabs.Panel>
        <Tabs.Panel value="api">
          <ApiTab agent={agent} work={work} />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}

function Loading() {
  return (
    <Page title="Agent" above={<Skeleton height={11} width={160} />} subtitle={<Skeleton height={12} width={320} mt={4} />}>
      <div className={classes.columns}>
        <div>
          <Skeleton height={160} />
          <Skeleton height={36} mt={12} />
        </div>
        <Skeleton height={260} />
      </div>
    </Page>
  );
}
