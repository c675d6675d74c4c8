import { Page } from "@/shared/ui/Page";

export function RunPage() {
  return <Page title="Run">{null}</Page>;
}
