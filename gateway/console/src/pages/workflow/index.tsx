import { Page } from "@/shared/ui/Page";

export function WorkflowPage() {
  return <Page title="Workflow">{null}</Page>;
}
