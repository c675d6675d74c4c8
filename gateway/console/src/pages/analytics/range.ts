import { timestampFromDate, type Timestamp } from "@bufbuild/protobuf/wkt";

import type { AnalyticsSearch } from "@/app/searchParams";
import { Interval } from "@gen/agentmesh/analytics/v1/analytics_pb";

/** The time that the page shows: `from` is included, `to` is not. */
export interface Range {
  from: Date;
  to: Date;
}

const HOUR = 3_600_000;
export const DAYS: Record<NonNullable<AnalyticsSearch["range"]>, number> = { "24h": 1, "7d": 7, "30d": 30, "90d": 90, "365d": 365 };
const QUARTER = 15 * 60_000;

/** The range of the URL. The last days end at the next quarter of an hour, as the platform's figures do. */
export function rangeOf({ range = "7d", from, to }: AnalyticsSearch, now: Date = new Date()): Range {
  const end = new Date(Math.ceil(now.getTime() / QUARTER) * QUARTER);
  if (from) {
    const until = to ? new Date(to) : end;
    const start = new Date(from);
    if (start < until) return { from: start, to: until };
  }
  return { from: new Date(end.getTime() - DAYS[range] * 24 * HOUR), to: end };
}

/** The range of the same length before this one. */
export function previous({ from, to }: Range): Range {
  return { from: new Date(2 * from.getTime() - to.getTime()), to: from };
}

/** An interval that gives a chart some 30 to 180 points. */
export function intervalOf({ from, to }: Range): Interval {
  const hours = (to.getTime() - from.getTime()) / HOUR;
  if (hours <= 30) return Interval.QUARTER_HOUR;
  if (hours <= 7.5 * 24) return Interval.HOUR;
  if (hours <= 180 * 24) return Interval.DAY;
  return Interval.WEEK;
}

/** The browser's time zone, in which days begin. */
export function timeZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

export function bounds({ from, to }: Range): { startTime: Timestamp; endTime: Timestamp } {
  return { startTime: timestampFromDate(from), endTime: timestampFromDate(to) };
}

/** The change from one amount to another: `+12 %`, or nothing if there is no earlier amount. */
export function change(now: number, before: number): string | undefined {
  if (before === 0) return undefined;
  const share = (now - before) / before;
  if (Math.abs(share) < 0.005) return "±0 %";
  const sign = share > 0 ? "+" : "−";
  const size = Math.abs(share);
  return size >= 9.995 ? `${Math.round(size + 1)}×` : `${sign}${Math.round(size * 100)} %`;
}
