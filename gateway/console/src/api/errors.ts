import { getOption } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import { error as errorRow, ErrorReasonSchema, type ErrorReason } from "@gen/agentmesh/common/v1/error_reason_pb";
import type { Error as MeshError } from "@gen/agentmesh/common/v1/error_pb";
import { BadRequestSchema, ErrorInfoSchema, RequestInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb";
import { ADVICE, LOST_CONNECTION } from "./advice";

/** One rule that a request broke, and the field that broke it, e.g. `tasks[2].depends_on[0]`. */
export interface Violation {
  field: string;
  description: string;
}

/** An error as the console shows it. */
export interface Problem {
  /** What is wrong, in the platform's words. */
  message: string;
  /** A reason of the error table, or `CONNECTION_LOST` when there was no answer. */
  code: string;
  /** Absent when the platform did not answer. */
  requestId: string | undefined;
  /** What to do next. */
  advice: string;
  violations: Violation[];
  details: Record<string, string>;
  /** Whether the same call can succeed when it is sent again. */
  retryable: boolean;
  retryAfterSeconds: number | undefined;
}

/** Whether the error table calls a reason retryable. */
function isRetryable(reason: string): boolean {
  const value = ErrorReasonSchema.values.find((each) => each.localName === reason);
  return value ? getOption(value, errorRow).retryable : false;
}

/** The reason of an error that the platform answered; absent for errors that came from elsewhere, such as a lost connection. */
export function reasonOf(error: unknown): string | undefined {
  return error instanceof ConnectError ? error.findDetails(ErrorInfoSchema)[0]?.reason : undefined;
}

/** Whether an error means that the object does not exist, or is not the caller's. */
export function isNotFound(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.NotFound;
}

export function isDenied(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.PermissionDenied;
}

/** Whether a call ended because the console no longer needs it, e.g. because the user left the page. */
export function isAborted(error: unknown): boolean {
  if (error instanceof DOMException) return error.name === "AbortError";
  return error instanceof ConnectError && error.code === Code.Canceled && !reasonOf(error);
}

/** Describes whatever a call has thrown. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof ConnectError)) return unexpected(error);
  const info = error.findDetails(ErrorInfoSchema)[0];
  if (!info && isUnreachable(error)) return lost();
  const code = info?.reason ?? reasonOfStatus(error.code);
  const retry = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const details = info?.metadata ?? {};
  return {
    message: error.rawMessage || "The platform gave no message.",
    code,
    requestId: error.findDetails(RequestInfoSchema)[0]?.requestId || error.metadata.get("x-request-id") || undefined,
    advice: adviceFor(code),
    violations: error.findDetails(BadRequestSchema)[0]?.fieldViolations.map(({ field, description }) => ({ field, description })) ?? [],
    details,
    retryable: details.retryable ? details.retryable === "true" : isRetryable(code),
    retryAfterSeconds: retry ? Number(retry.seconds) + retry.nanos / 1e9 : undefined,
  };
}

/** Describes a failure that the books or a stream keep, which has the fields of the REST envelope. */
export function problemOfFailure(failure: MeshError): Problem {
  const { retryable, retry_after_seconds, field_violations, ...rest } = (failure.details ?? {}) as Record<string, unknown>;
  return {
    message: failure.message,
    code: failure.code,
    requestId: failure.requestId || undefined,
    advice: adviceFor(failure.code),
    violations: Array.isArray(field_violations) ? (field_violations as Violation[]) : [],
    details: Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, String(value)])),
    retryable: retryable === undefined ? isRetryable(failure.code) : String(retryable) === "true",
    retryAfterSeconds: typeof retry_after_seconds === "number" ? retry_after_seconds : undefined,
  };
}

/** A problem as text, to paste into a message to whoever operates the platform. */
export function problemText(problem: Problem): string {
  return [
    problem.message,
    `code: ${problem.code}`,
    ...(problem.requestId ? [`request id: ${problem.requestId}`] : []),
    ...problem.violations.map(({ field, description }) => `${field}: ${description}`),
    `time: ${new Date().toISOString()}`,
  ].join("\n");
}

function adviceFor(code: string): string {
  return ADVICE[code as keyof typeof ADVICE] ?? ADVICE.INTERNAL;
}

/** Envoy and the gRPC runtime answer some errors without a reason; the status then has to do. */
function reasonOfStatus(code: Code): string {
  const reasons: Partial<Record<Code, keyof typeof ErrorReason>> = {
    [Code.Unauthenticated]: "AUTH_INVALID_CREDENTIALS",
    [Code.PermissionDenied]: "POLICY_DENIED",
    [Code.InvalidArgument]: "VALIDATION_ERROR",
    [Code.DeadlineExceeded]: "UPSTREAM_TIMEOUT",
    [Code.ResourceExhausted]: "RATE_LIMIT_EXCEEDED",
    [Code.Unavailable]: "SERVICE_UNAVAILABLE",
    [Code.Unimplemented]: "NOT_IMPLEMENTED",
    [Code.Canceled]: "CANCELLED",
  };
  return reasons[code] ?? "INTERNAL";
}

/** `fetch` throws a TypeError when there was no answer at all. */
function isUnreachable(error: ConnectError): boolean {
  return error.cause instanceof TypeError || (error.code === Code.Unavailable && error.metadata.get("grpc-status") === null);
}

function lost(): Problem {
  return { ...blank(), message: "The console could not reach the platform.", code: "CONNECTION_LOST", advice: LOST_CONNECTION, retryable: true };
}

function unexpected(error: unknown): Problem {
  const message = error instanceof Error && error.message ? error.message : String(error);
  return { ...blank(), message, code: "CONSOLE_ERROR", advice: "Reload the page. If it happens again, report it with the text that you can copy here." };
}

const blank = () => ({ requestId: undefined, violations: [], details: {}, retryable: false, retryAfterSeconds: undefined });
