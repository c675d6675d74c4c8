import { Page } from "@/shared/ui/Page";

export function MarketplacePage() {
  return <Page title="Marketplace">{null}</Page>;
}
