import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";

import { ErrorSchema } from "@gen/agentmesh/common/v1/error_pb";
import { ErrorReason } from "@gen/agentmesh/common/v1/error_reason_pb";
import { BadRequestSchema, ErrorInfoSchema, RequestInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb";
import { ADVICE } from "./advice";
import { isAborted, problemOf, problemOfFailure, problemText } from "./errors";

function refused(reason: string, code: Code, ...more: ConstructorParameters<typeof ConnectError>[3] & object[]) {
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "agentmesh", metadata: { limit: "agent_calls" } } };
  return new ConnectError("too many calls", code, undefined, [info, ...more]);
}

describe("an error that the platform answered", () => {
  it("shows its message, code, request id, violations and the time to wait", () => {
    const problem = problemOf(
      refused(
        "RATE_LIMIT_EXCEEDED",
        Code.ResourceExhausted,
        { desc: RequestInfoSchema, value: { requestId: "req_1" } },
        { desc: RetryInfoSchema, value: { retryDelay: { seconds: 2n, nanos: 500_000_000 } } },
        { desc: BadRequestSchema, value: { fieldViolations: [{ field: "tasks[0].id", description: "is taken" }] } },
      ),
    );
    expect(problem).toMatchObject({
      message: "too many calls",
      code: "RATE_LIMIT_EXCEEDED",
      requestId: "req_1",
      retryable: true,
      retryAfterSeconds: 2.5,
      violations: [{ field: "tasks[0].id", description: "is taken" }],
      details: { limit: "agent_calls" },
    });
    expect(problemText(problem)).toContain("request id: req_1\ntasks[0].id: is taken");
  });

  it("takes from the details whether it can be retried, before the error table", () => {
    const info = { desc: ErrorInfoSchema, value: { reason: "LLM_API_ERROR", domain: "agentmesh", metadata: { retryable: "false" } } };
    expect(problemOf(new ConnectError("bad key", Code.Internal, undefined, [info])).retryable).toBe(false);
    expect(problemOf(refused("LLM_API_ERROR", Code.Internal)).retryable).toBe(true);
    expect(problemOf(refused("WORKFLOW_NOT_FOUND", Code.NotFound)).retryable).toBe(false);
  });

  it("takes the request id from the header where the details have none", () => {
    const error = new ConnectError("no", Code.NotFound, { "x-request-id": "req_header" });
    expect(problemOf(error)).toMatchObject({ requestId: "req_header", code: "INTERNAL" });
  });
});

describe("an error without an answer", () => {
  it("is a lost connection if there was no response", () => {
    const problem = problemOf(new ConnectError("Failed to fetch", Code.Unavailable, undefined, undefined, new TypeError("Failed to fetch")));
    expect(problem).toMatchObject({ code: "CONNECTION_LOST", requestId: undefined, retryable: true });
  });

  it("is not shown if the console ended the call itself", () => {
    expect(isAborted(new ConnectError("aborted", Code.Canceled))).toBe(true);
    expect(isAborted(new DOMException("aborted", "AbortError"))).toBe(true);
    expect(isAborted(refused("CANCELLED", Code.Canceled))).toBe(false);
  });

  it("shows a fault of the console itself as such", () => {
    expect(problemOf(new Error("x is undefined"))).toMatchObject({ code: "CONSOLE_ERROR", message: "x is undefined" });
  });
});

it("every reason of the error table has advice", () => {
  const reasons = Object.keys(ErrorReason).filter((name) => Number.isNaN(Number(name)) && name !== "UNSPECIFIED");
  expect(Object.keys(ADVICE).sort()).toEqual(reasons.sort());
});

it("a stored failure is shown like an error", () => {
  const failure = create(ErrorSchema, {
    code: "LLM_API_ERROR",
    message: "the provider answered 529",
    requestId: "req_2",
    details: { provider_status: 529, retryable: false, retry_after_seconds: 3 },
  });
  expect(problemOfFailure(failure)).toMatchObject({
    code: "LLM_API_ERROR",
    requestId: "req_2",
    retryable: false,
    retryAfterSeconds: 3,
    details: { provider_status: "529" },
  });
});
