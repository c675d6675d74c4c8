import type { AnalyticsSearch } from "@/app/searchParams";
import type { Figures, Point } from "@gen/agentmesh/analytics/v1/analytics_pb";
import { compact, duration, money } from "@/shared/format";

export type Metric = NonNullable<AnalyticsSearch["metric"]>;

/** All tokens that were read or written. */
export function tokens({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens }: Figures): number {
  return Number(inputTokens + outputTokens + cacheReadTokens + cacheWriteTokens);
}

/** The share of executions that completed; nothing if there were none. */
export function completedShare({ calls, completed }: Figures): number | undefined {
  return calls > 0n ? Number(completed) / Number(calls) : undefined;
}

export const METRIC_NAMES: Record<Metric, string> = { calls: "Executions", cost: "Cost", tokens: "Tokens", duration: "Duration" };

export const SHOW: Record<Metric, (value: number) => string> = { calls: compact, cost: money, tokens: compact, duration };

/** The lines of a metric: what each shows of a point. */
export const LINES: Record<Metric, readonly { label: string; colour: string; of: (point: Point) => number | null }[]> = {
  calls: [
    { label: "All", colour: "--accent", of: ({ figures }) => Number(figures?.calls ?? 0) },
    { label: "Failed", colour: "--state-failed", of: ({ figures }) => Number(figures?.failed ?? 0) },
  ],
  cost: [{ label: "Cost", colour: "--accent", of: ({ figures }) => Number(figures?.costMicroUsd ?? 0) }],
  tokens: [
    { label: "Input", colour: "--accent", of: ({ figures }) => Number(figures ? figures.inputTokens + figures.cacheReadTokens + figures.cacheWriteTokens : 0) },
    { label: "Output", colour: "--state-unknown", of: ({ figures }) => Number(figures?.outputTokens ?? 0) },
  ],
  duration: [
    { label: "Median", colour: "--accent", of: ({ figures, seconds }) => (figures?.completed && seconds ? seconds.p50 : null) },
    { label: "95th percentile", colour: "--state-waiting", of: ({ figures, seconds }) => (figures?.completed && seconds ? seconds.p95 : null) },
  ],
};
