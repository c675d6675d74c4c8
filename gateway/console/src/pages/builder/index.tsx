import { Page } from "@/shared/ui/Page";

export function BuilderPage() {
  return <Page title="New workflow">{null}</Page>;
}
