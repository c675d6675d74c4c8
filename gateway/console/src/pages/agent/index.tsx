import { Page } from "@/shared/ui/Page";

export function AgentPage() {
  return <Page title="Agent">{null}</Page>;
}
