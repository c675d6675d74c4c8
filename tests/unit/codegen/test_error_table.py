"""The options of the enum ErrorReason are the documented error table, and docs/errors.md contains every row of it."""

import re
from collections import Counter

import pytest

from protos.codegen.contracts import ContractError, Contracts
from protos.codegen.error_table import ENUM, Row, markdown, rows
from tests.unit.codegen.conftest import ROOT, Compile

DOCUMENTED = [
    ("AGENT_NOT_FOUND", 404, "NOT_FOUND"),
    ("AGENT_UNAVAILABLE", 503, "UNAVAILABLE"),
    ("AGENT_EXECUTION_FAILED", 500, "INTERNAL"),
    ("WORKFLOW_NOT_FOUND", 404, "NOT_FOUND"),
    ("WORKFLOW_ALREADY_RUNNING", 409, "FAILED_PRECONDITION"),
    ("AUTH_INVALID_CREDENTIALS", 401, "UNAUTHENTICATED"),
    ("AUTH_TOKEN_EXPIRED", 401, "UNAUTHENTICATED"),
    ("AUTH_TOKEN_BLACKLISTED", 401, "UNAUTHENTICATED"),
    ("POLICY_DENIED", 403, "PERMISSION_DENIED"),
    ("VALIDATION_ERROR", 422, "INVALID_ARGUMENT"),
    ("RATE_LIMIT_EXCEEDED", 429, "RESOURCE_EXHAUSTED"),
    ("LLM_API_ERROR", 502, "INTERNAL"),
    ("LLM_API_TIMEOUT", 504, "DEADLINE_EXCEEDED"),
    ("EXECUTION_NOT_FOUND", 404, "NOT_FOUND"),
    ("API_KEY_NOT_FOUND", 404, "NOT_FOUND"),
    ("RUN_NOT_FOUND", 404, "NOT_FOUND"),
    ("ROUTE_NOT_FOUND", 404, "UNIMPLEMENTED"),
    ("METHOD_NOT_ALLOWED", 405, "UNIMPLEMENTED"),
    ("BAD_REQUEST", 400, "INVALID_ARGUMENT"),
    ("PAYLOAD_TOO_LARGE", 413, "RESOURCE_EXHAUSTED"),
    ("USERNAME_TAKEN", 409, "ALREADY_EXISTS"),
    ("WORKFLOW_NOT_RUNNING", 409, "FAILED_PRECONDITION"),
    ("APPROVAL_NOT_PENDING", 409, "FAILED_PRECONDITION"),
    ("IDEMPOTENCY_CONFLICT", 409, "FAILED_PRECONDITION"),
    ("BUDGET_EXCEEDED", 402, "FAILED_PRECONDITION"),
    ("GUARDRAIL_BLOCKED", 422, "FAILED_PRECONDITION"),
    ("SERVICE_UNAVAILABLE", 503, "UNAVAILABLE"),
    ("UPSTREAM_TIMEOUT", 504, "DEADLINE_EXCEEDED"),
    ("CANCELLED", 499, "CANCELLED"),
    ("NOT_IMPLEMENTED", 501, "UNIMPLEMENTED"),
    ("INTERNAL", 500, "INTERNAL"),
    ("ANSWER_INCOMPLETE", 422, "FAILED_PRECONDITION"),
    ("STEP_NOT_FOUND", 404, "NOT_FOUND"),
    ("RUN_NOT_ACTIVE", 409, "FAILED_PRECONDITION"),
    ("USER_NOT_FOUND", 404, "NOT_FOUND"),
    ("SESSION_NOT_FOUND", 404, "NOT_FOUND"),
    ("REGISTRATION_CLOSED", 403, "PERMISSION_DENIED"),
    ("UNSUPPORTED_MEDIA_TYPE", 415, "UNIMPLEMENTED"),
]
"""The error table of the contracts, row by row: reason, HTTP status, gRPC status."""


@pytest.fixture(scope="session")
def table(ours: Contracts) -> list[Row]:
    return rows(ours)


def test_the_enum_has_exactly_the_documented_rows(table: list[Row]) -> None:
    assert Counter((row.reason, row.http_status, row.grpc_code) for row in table) == Counter(DOCUMENTED)
    assert max(Counter(row.reason for row in table).values()) == 1


def test_only_errors_that_can_succeed_on_retry_are_retryable(table: list[Row]) -> None:
    assert {row.reason for row in table if row.retryable} == {
        "AGENT_UNAVAILABLE",
        "AGENT_EXECUTION_FAILED",
        "RATE_LIMIT_EXCEEDED",
        "LLM_API_ERROR",
        "LLM_API_TIMEOUT",
        "SERVICE_UNAVAILABLE",
        "UPSTREAM_TIMEOUT",
    }


def test_every_row_explains_its_meaning_apart_from_its_metadata(table: list[Row]) -> None:
    for row in table:
        assert row.meaning.endswith((".", ")")), row
        assert "Metadata:" not in row.meaning
    found = {row.reason: row.metadata for row in table}
    assert found["AGENT_NOT_FOUND"] == ("agent_id", "port")
    assert found["ROUTE_NOT_FOUND"] == ()


def test_the_committed_page_has_one_complete_row_for_each_reason(ours: Contracts, table: list[Row]) -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `([A-Z_]+)` \| (\d{3}) \| ([A-Z_]+) \| (yes|no) \| (.+) \| (.*) \|$", page, re.MULTILINE)
    assert Counter((reason, int(http), grpc) for reason, http, grpc, *_ in lines) == Counter(DOCUMENTED)
    assert len([value for value in ours.enum(ENUM).values if value.number]) == len(lines)


def test_a_cell_never_breaks_the_table() -> None:
    row = Row("X", 500, "INTERNAL", False, "This | that.\n\nAnd more.", ("a",))
    assert markdown([row]).endswith("| `X` | 500 | INTERNAL | no | This \\| that. And more. | `a` |\n")


def test_a_reason_without_a_row_is_refused(compiled: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    contracts = compiled("enum ErrorReason { ERROR_REASON_UNSPECIFIED = 0; ERROR_REASON_NEW = 1; }")
    monkeypatch.setattr("protos.codegen.error_table.ENUM", "agentmesh.test.v1.ErrorReason")
    with pytest.raises(ContractError, match="ERROR_REASON_NEW"):
        rows(contracts)
