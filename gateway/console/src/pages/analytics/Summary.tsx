import { Skeleton } from "@mantine/core";
import type { ReactNode } from "react";

import type { GetSummaryResponse } from "@gen/agentmesh/analytics/v1/analytics_service_pb";
import { compact, duration, integer, money, NONE, percent } from "@/shared/format";
import { completedShare, tokens } from "./figures";
import { change } from "./range";
import classes from "./Analytics.module.css";

interface Tile {
  name: string;
  value: string;
  change?: string | undefined;
  /** The figure of the period before, on hover. */
  before?: string;
}

/** The figures of the range at a glance, each with its change from the period before. */
export function Summary({ summary }: { summary: GetSummaryResponse | undefined }) {
  if (!summary) return <Frame>{Array.from({ length: 6 }, (_, index) => <Skeleton key={index} height={78} radius={10} />)}</Frame>;
  return (
    <Frame>
      {tilesOf(summary).map((tile) => (
        <div key={tile.name} className={classes.tile}>
          <dt>{tile.name}</dt>
          <dd>
            <span className={classes.amount}>{tile.value}</span>
            {tile.change && (
              <span className={classes.change} title={`Before: ${tile.before}`}>
                {tile.change}
                <span className="visually-hidden"> compared with the period before</span>
              </span>
            )}
          </dd>
        </div>
      ))}
    </Frame>
  );
}

function Frame({ children }: { children: ReactNode }) {
  return <dl className={classes.tiles}>{children}</dl>;
}

function tilesOf({ figures, previous, seconds, previousSeconds }: GetSummaryResponse): Tile[] {
  if (!figures || !previous || !seconds || !previousSeconds) return [];
  const share = completedShare(figures);
  const shareBefore = completedShare(previous);
  const points = share !== undefined && shareBefore !== undefined ? (share - shareBefore) * 100 : undefined;
  const took = (value: number) => (figures.completed ? duration(value) : NONE);
  const pace = (now: number, before: number) => (figures.completed && previous.completed ? change(now, before) : undefined);
  return [
    {
      name: "Cost",
      value: money(figures.costMicroUsd),
      change: change(Number(figures.costMicroUsd), Number(previous.costMicroUsd)),
      before: money(previous.costMicroUsd),
    },
    { name: "Executions", value: integer(figures.calls), change: change(Number(figures.calls), Number(previous.calls)), before: integer(previous.calls) },
    {
      name: "Completed",
      value: share === undefined ? NONE : percent(share),
      change: points === undefined ? undefined : `${points > 0 ? "+" : points < 0 ? "−" : "±"}${Math.abs(points).toFixed(1)} points`,
      before: shareBefore === undefined ? NONE : percent(shareBefore),
    },
    { name: "Median duration", value: took(seconds.p50), change: pace(seconds.p50, previousSeconds.p50), before: duration(previousSeconds.p50) },
    { name: "95th percentile", value: took(seconds.p95), change: pace(seconds.p95, previousSeconds.p95), before: duration(previousSeconds.p95) },
    { name: "Tokens", value: compact(tokens(figures)), change: change(tokens(figures), tokens(previous)), before: compact(tokens(previous)) },
  ];
}
