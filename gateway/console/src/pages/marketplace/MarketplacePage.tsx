import { Button, CloseButton, Drawer, Select, TextInput } from "@mantine/core";
import { IconAdjustmentsHorizontal, IconSearch } from "@tabler/icons-react";
import { getRouteApi } from "@tanstack/react-router";
import { startTransition, useEffect, useState } from "react";

import { AGENT_ORDERS, type MarketplaceSearch } from "@/app/searchParams";
import { count } from "@/shared/format";
import { compactSearch } from "@/shared/search";
import { useDebounced } from "@/shared/useDebounced";
import { EmptyState } from "@/shared/ui/EmptyState";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { AgentGrid } from "./AgentGrid";
import { AgentCard } from "./AgentCard";
import { Facets, chosenFacets } from "./Facets";
import classes from "./Marketplace.module.css";
import { useAgents } from "./useAgents";

const route = getRouteApi("/app/marketplace");

const NOTHING_MEASURED = {};

const ORDER_LABELS = { relevance: "Best match", name: "Name", number: "Catalogue order" };

export function MarketplacePage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const change = (part: Partial<MarketplaceSearch>) =>
    startTransition(() => void navigate({ search: (old) => compactSearch({ ...old, ...part }), replace: true }));
  const [filtersOpen, setFiltersOpen] = useState(false);
  const { query, found } = useAgents(search);
  const chosen = chosenFacets(search);

  useEffect(() => {
    document.title = "Marketplace · AgentMesh";
  }, []);

  return (
    <div className={classes.page}>
      <aside className={classes.facets} aria-label="Filters">
        <Facets facets={found?.facets} search={search} change={change} />
      </aside>
      <div className={classes.results}>
        <header className={classes.head}>
          <h1 className={classes.title}>Marketplace</h1>
          <SearchBox value={search.q ?? ""} change={(q) => change({ q })} busy={query.isPlaceholderData} />
          <div className={classes.bar}>
            <span className={classes.total} role="status">
              {found ? count(found.total, "agent") : "Loading agents"}
              {search.q && found ? ` for “${search.q}”` : ""}
            </span>
            <div className={classes.chips}>
              {chosen.map((facet) => (
                <Button
                  key={`${facet.key}-${facet.value}`}
                  size="compact-xs"
                  variant="light"
                  rightSection="×"
                  aria-label={`Remove the filter ${facet.label}`}
                  onClick={() => change(facet.without)}
                >
                  {facet.label}
                </Button>
              ))}
            </div>
            <Button
              className={classes.filterButton}
              size="compact-sm"
              variant="default"
              leftSection={<IconAdjustmentsHorizontal size={15} />}
              onClick={() => setFiltersOpen(true)}
            >
              Filters
            </Button>
            <Select
              size="xs"
              w={148}
              aria-label="Order"
              allowDeselect={false}
              data={AGENT_ORDERS.map((order) => ({ value: order, label: ORDER_LABELS[order] }))}
              value={search.order ?? "relevance"}
              onChange={(order) => change({ order: order === "relevance" ? undefined : (order as MarketplaceSearch["order"]) })}
            />
          </div>
        </header>
        {query.error && !found ? (
          <div className={classes.message}>
            <ErrorPanel error={query.error} title="The agents could not be loaded" retry={() => void query.refetch()} />
          </div>
        ) : found?.total === 0 ? (
          <Nothing search={search} nearest={found.nearest} change={change} />
        ) : (
          <AgentGrid
            agents={found?.agents}
            measured={found?.measured ?? NOTHING_MEASURED}
            total={found?.total ?? 0}
            loadMore={() => void (query.hasNextPage && !query.isFetchingNextPage && query.fetchNextPage())}
            resetKey={JSON.stringify(search)}
          />
        )}
      </div>
      <Drawer opened={filtersOpen} onClose={() => setFiltersOpen(false)} title="Filters" position="bottom" size="80%">
        <Facets facets={found?.facets} search={search} change={change} />
      </Drawer>
    </div>
  );
}

/** Searches while the user types; the URL follows once they pause. */
function SearchBox({ value, change, busy }: { value: string; change: (q: string | undefined) => void; busy: boolean }) {
  const [text, setText] = useState(value);
  const settled = useDebounced(text, 140);
  // A change of the URL from elsewhere (back, a link) replaces the text; the echo of the user's own typing does not.
  const [known, setKnown] = useState(value);
  if (value !== known) {
    setKnown(value);
    if (value !== settled.trim()) setText(value);
  }
  useEffect(() => {
    const q = settled.trim();
    if (q !== value) change(q || undefined);
    // Only typing starts a search.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [settled]);
  return (
    <TextInput
      data-page-search
      autoFocus={window.matchMedia("(hover: hover)").matches}
      size="md"
      type="search"
      maxLength={1000}
      placeholder="Describe the work, or type a few words"
      aria-label="Search agents"
      leftSection={<IconSearch size={17} />}
      rightSection={text ? <CloseButton size="sm" aria-label="Clear the search" onClick={() => setText("")} /> : null}
      value={text}
      data-busy={busy || undefined}
      onChange={(event) => setText(event.currentTarget.value)}
    />
  );
}

interface NothingProps {
  search: MarketplaceSearch;
  nearest: Parameters<typeof AgentCard>[0]["agent"][];
  change: (part: Partial<MarketplaceSearch>) => void;
}

function Nothing({ search, nearest, change }: NothingProps) {
  const filtered = chosenFacets(search).length > 0;
  return (
    <div className={classes.nothing}>
      <EmptyState icon={<IconSearch size={26} />} title={search.q ? `No agent matches “${search.q}”` : "No agent matches these filters"}>
        {filtered ? (
          <>
            The filters may exclude it.
            <Button size="compact-sm" variant="default" onClick={() => change({ category: undefined, role: undefined, tags: undefined })}>
              Remove all filters
            </Button>
          </>
        ) : nearest.length > 0 ? (
          "No agent is made for this work. These come closest."
        ) : (
          "Describe the work in other words."
        )}
      </EmptyState>
      {nearest.length > 0 && (
        <ul className={classes.nearest}>
          {nearest.map((agent) => (
            <li key={agent.agentId}>
              <AgentCard agent={agent} />
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
