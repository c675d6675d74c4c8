import { UnstyledButton } from "@mantine/core";
import { IconCheck } from "@tabler/icons-react";
import { useState } from "react";

import type { MarketplaceSearch } from "@/app/searchParams";
import type { AgentFacets, FacetCount } from "@gen/agentmesh/registry/v1/registry_service_pb";
import { integer, words } from "@/shared/format";
import { Skeleton } from "@mantine/core";
import classes from "./Facets.module.css";

/** How many values of a facet are shown before the user asks for all. */
const FIRST = 8;

interface FacetsProps {
  facets: AgentFacets | undefined;
  search: MarketplaceSearch;
  change: (part: Partial<MarketplaceSearch>) => void;
}

/** The categories, roles and tags of the matching agents. A count says how many agents there are if the value is chosen. */
export function Facets({ facets, search, change }: FacetsProps) {
  const tags = new Set(search.tags);
  const toggleTag = (tag: string) => {
    const next = tags.has(tag) ? [...tags].filter((each) => each !== tag) : [...tags, tag];
    change({ tags: next.length > 0 ? next : undefined });
  };
  return (
    <>
      <Facet
        title="Category"
        counts={facets?.categories}
        chosen={new Set(search.category ? [search.category] : [])}
        // Roles belong to a category.
        toggle={(value) => change({ category: value === search.category ? undefined : value, role: undefined })}
      />
      <Facet
        title="Role"
        counts={facets?.roles}
        chosen={new Set(search.role ? [search.role] : [])}
        toggle={(value) => change({ role: value === search.role ? undefined : value })}
      />
      <Facet title="Tag" counts={facets?.tags} chosen={tags} toggle={toggleTag} />
    </>
  );
}

interface FacetProps {
  title: string;
  counts: readonly FacetCount[] | undefined;
  chosen: ReadonlySet<string>;
  toggle: (value: string) => void;
}

function Facet({ title, counts, chosen, toggle }: FacetProps) {
  const [all, setAll] = useState(false);
  const shown = all ? counts : counts?.filter((each, index) => index < FIRST || chosen.has(each.value));
  const missing = [...chosen].filter((value) => !counts?.some((each) => each.value === value));
  return (
    <fieldset className={classes.facet}>
      <legend className={classes.legend}>{title}</legend>
      {missing.map((value) => (
        <Choice key={value} value={value} count={0} chosen toggle={toggle} />
      ))}
      {shown
        ? shown.map(({ value, count }) => <Choice key={value} value={value} count={count} chosen={chosen.has(value)} toggle={toggle} />)
        : Array.from({ length: 6 }, (_, index) => <Skeleton key={index} height={10} width={`${70 - index * 6}%`} my={9} mx={8} />)}
      {counts && counts.length > FIRST && (
        <UnstyledButton className={classes.all} onClick={() => setAll(!all)} aria-expanded={all}>
          {all ? "Show fewer" : `Show all ${counts.length}`}
        </UnstyledButton>
      )}
    </fieldset>
  );
}

interface ChoiceProps {
  value: string;
  count: number;
  chosen: boolean;
  toggle: (value: string) => void;
}

function Choice({ value, count, chosen, toggle }: ChoiceProps) {
  return (
    <UnstyledButton className={classes.choice} aria-pressed={chosen} onClick={() => toggle(value)}>
      <span className={classes.mark} aria-hidden>
        {chosen && <IconCheck size={13} stroke={2.5} />}
      </span>
      <span className="truncate">{words(value)}</span>
      <span className={classes.count}>{integer(count)}</span>
    </UnstyledButton>
  );
}

/** The chosen values, and the search without each of them. */
export function chosenFacets(search: MarketplaceSearch) {
  const { category, role, tags = [] } = search;
  const single = (key: "category" | "role", value: string | undefined) =>
    value ? [{ key, value, label: words(value), without: { [key]: undefined } as Partial<MarketplaceSearch> }] : [];
  return [
    ...single("category", category),
    ...single("role", role),
    ...tags.map((tag) => {
      const left = tags.filter((each) => each !== tag);
      return { key: "tags", value: tag, label: words(tag), without: { tags: left.length > 0 ? left : undefined } };
    }),
  ];
}
