import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";

// Every number on the screen goes through one of these, so that units and precision are the same everywhere.

const INTEGER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const ABSOLUTE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const DAY_AND_TIME = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** What is shown where there is no value. */
export const NONE = "–";

export function integer(value: number | bigint): string {
  return INTEGER.format(value);
}

/** `950`, `12.4k`, `3.1M`. */
export function compact(value: number | bigint): string {
  const number = Number(value);
  if (number < 1_000) return integer(number);
  if (number < 999_950) return `${trim(number / 1_000, number < 9_995 ? 2 : 1)}k`;
  return `${trim(number / 1_000_000, 1)}M`;
}

/** Millionths of a dollar as dollars, with as many decimals as small amounts need: `$12.40`, `$0.034`, `$0.0004`. */
export function money(microUsd: bigint | number): string {
  const dollars = Number(microUsd) / 1e6;
  if (dollars === 0) return "$0";
  const size = Math.abs(dollars);
  if (size < 0.0001) return "<$0.0001";
  if (size < 0.01) return `$${dollars.toFixed(4)}`;
  if (size < 1) return `$${dollars.toFixed(3)}`;
  return `$${dollars.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

/** `82 ms`, `4.2 s`, `3 m 12 s`, `2 h 5 m`, `3 d 4 h`. */
export function duration(seconds: number): string {
  if (seconds < 0) return NONE;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3_600) return pair(Math.floor(whole / 60), "m", whole % 60, "s");
  if (whole < 86_400) return pair(Math.floor(whole / 3_600), "h", Math.floor((whole % 3_600) / 60), "m");
  return pair(Math.floor(whole / 86_400), "d", Math.floor((whole % 86_400) / 3_600), "h");
}

/** A share of 0 to 1: `99.2 %`. 100 % only if nothing is missing. */
export function percent(share: number): string {
  if (share === 1) return "100 %";
  const value = Math.min(share * 100, 99.9);
  return `${value >= 10 ? value.toFixed(1) : value.toFixed(2)} %`;
}

/** `1.4 kB`, `5.2 MB`. */
export function bytes(size: number): string {
  if (size < 1_000) return `${size} B`;
  if (size < 1_000_000) return `${trim(size / 1_000, 1)} kB`;
  return `${trim(size / 1_000_000, 1)} MB`;
}

/** The time since `from` or until it, in one unit: `just now`, `3 min ago`, `in 2 h`, `12 Nov 2026`. */
export function relativeTime(from: Date, now: Date = new Date()): string {
  const seconds = (now.getTime() - from.getTime()) / 1000;
  const size = Math.abs(seconds);
  if (size < 10) return seconds >= 0 ? "just now" : "in a moment";
  const words = (amount: number, unit: string) => (seconds >= 0 ? `${amount} ${unit} ago` : `in ${amount} ${unit}`);
  if (size < 60) return words(Math.floor(size), "s");
  if (size < 3_600) return words(Math.floor(size / 60), "min");
  if (size < 86_400) return words(Math.floor(size / 3_600), "h");
  if (size < 7 * 86_400) return words(Math.floor(size / 86_400), Math.floor(size / 86_400) === 1 ? "day" : "days");
  return DAY.format(from);
}

/** The full date and time with the time zone. */
export function absoluteTime(date: Date): string {
  return ABSOLUTE.format(date);
}

export function dayAndTime(date: Date): string {
  return DAY_AND_TIME.format(date);
}

export function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && timestampDate(timestamp);
}

/** Seconds between two timestamps; `undefined` if one is missing. */
export function secondsBetween(from: Timestamp | undefined, to: Timestamp | undefined): number | undefined {
  const [start, end] = [dateOf(from), dateOf(to)];
  return start && end ? (end.getTime() - start.getTime()) / 1000 : undefined;
}

/** Abbreviations and names as they are written. */
const SPELLING = new Map(
  (
    "SEO AI API CRM HR IT PPC B2B B2C SQL UX UI QA PR KPI GDPR ETL CSS HTML PHP SRE ML LLM NLP IoT BI TDD CI CD DBA AWS GCP JVM JWT CDC " +
    "CMS CSV DNS EDI ERP ESL GA4 GPU HTTP IDE IELTS JSON LTV MDM MVP NPS OCR OKR ORM PDF POS RAG RDBMS REST ROI RTOS SaaS SCORM SDK SLO " +
    "SMS SSO STEM TLS URL VPN WCAG XML YAML iOS macOS DevOps MySQL NoSQL MongoDB PostgreSQL GraphQL gRPC GitHub GitLab JavaScript " +
    "TypeScript LinkedIn TikTok YouTube WordPress WooCommerce BigQuery"
  )
    .split(" ")
    .map((name) => [name.toLowerCase(), name]),
);

/** `seo_strategist` → `SEO strategist`: a category, role or tag in words. */
export function words(name: string): string {
  const text = name.replaceAll(/[_-]+/g, " ");
  const spelled = text.replaceAll(/\w+/g, (word) => SPELLING.get(word.toLowerCase()) ?? word);
  // A name that begins with a small letter on purpose keeps it.
  return SPELLING.has((text.split(" ", 1)[0] ?? "").toLowerCase()) ? spelled : spelled.charAt(0).toUpperCase() + spelled.slice(1);
}

/** `3 tasks`, `1 task`. */
export function count(value: number | bigint, singular: string, plural = `${singular}s`): string {
  return `${integer(value)} ${Number(value) === 1 ? singular : plural}`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

function trim(value: number, digits: number): string {
  return value.toFixed(digits).replace(/\.?0+$/, "");
}
