import { Page } from "@/shared/ui/Page";

export function ExecutionsPage() {
  return <Page title="Executions">{null}</Page>;
}

export function ExecutionPage() {
  return <Page title="Execution">{null}</Page>;
}
