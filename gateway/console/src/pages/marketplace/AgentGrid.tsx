import { Skeleton } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";

import type { Agent } from "@gen/agentmesh/agent/v1/agent_pb";
import type { MeasuredAgent } from "@gen/agentmesh/registry/v1/registry_service_pb";
import { AgentCard } from "./AgentCard";
import classes from "./Marketplace.module.css";

const CARD_HEIGHT = 186;
const GAP = 12;
const MIN_CARD_WIDTH = 282;

interface AgentGridProps {
  /** Absent while the first page loads. */
  agents: readonly Agent[] | undefined;
  measured: Record<string, MeasuredAgent>;
  total: number;
  loadMore: () => void;
  /** Scrolls to the top when it changes. */
  resetKey: string;
}

/** All matching agents in one scrolling grid: only the rows in view exist, and pages are loaded as they come into view. */
export function AgentGrid({ agents, measured, total, loadMore, resetKey }: AgentGridProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const columns = useColumns(scroller);
  const rows = Math.ceil((agents ? total : 12) / columns);
  const virtualizer = useVirtualizer({
    count: rows,
    getScrollElement: () => scroller.current,
    estimateSize: () => CARD_HEIGHT + GAP,
    overscan: 3,
  });
  const visible = virtualizer.getVirtualItems();
  const lastNeeded = Math.min(((visible.at(-1)?.index ?? 0) + 1) * columns, total);

  useEffect(() => {
    if (agents && agents.length < lastNeeded) loadMore();
  }, [agents, lastNeeded, loadMore]);
  useEffect(() => {
    scroller.current?.scrollTo({ top: 0 });
  }, [resetKey]);

  return (
    <div ref={scroller} className={classes.scroller} tabIndex={-1}>
      <div role="list" aria-label="Agents" aria-busy={!agents} style={{ position: "relative", height: virtualizer.getTotalSize() }}>
        {visible.map((row) => (
          <div
            key={row.key}
            role="presentation"
            className={classes.row}
            style={{ height: CARD_HEIGHT, transform: `translateY(${row.start}px)`, gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}
          >
            {Array.from({ length: columns }, (_, column) => row.index * columns + column)
              .filter((index) => !agents || index < total)
              .map((index) => {
                const agent = agents?.[index];
                return (
                  <div key={agent?.agentId ?? index} role="listitem" aria-posinset={index + 1} aria-setsize={agents ? total : -1}>
                    {agent ? <AgentCard agent={agent} measured={measured[agent.agentId]} /> : <Placeholder />}
                  </div>
                );
              })}
          </div>
        ))}
      </div>
    </div>
  );
}

function Placeholder() {
  return (
    <div className={classes.placeholder}>
      <Skeleton height={9} width="38%" />
      <Skeleton height={14} width="72%" mt={9} />
      <Skeleton height={10} width="96%" mt={14} />
      <Skeleton height={10} width="81%" mt={7} />
      <Skeleton height={9} width="90%" mt={14} />
    </div>
  );
}

function useColumns(scroller: React.RefObject<HTMLDivElement | null>): number {
  const [columns, setColumns] = useState(() => columnsFor(window.innerWidth > 1000 ? window.innerWidth - 480 : window.innerWidth - 40));
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setColumns(columnsFor(element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, [scroller]);
  return columns;
}

function columnsFor(width: number): number {
  return Math.max(1, Math.min(5, Math.floor((width + GAP) / (MIN_CARD_WIDTH + GAP))));
}
