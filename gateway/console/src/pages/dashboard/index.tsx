import { Page } from "@/shared/ui/Page";

export function DashboardPage() {
  return <Page title="Workflows">{null}</Page>;
}
