import { Page } from "@/shared/ui/Page";

export function AnalyticsPage() {
  return <Page title="Analytics">{null}</Page>;
}
