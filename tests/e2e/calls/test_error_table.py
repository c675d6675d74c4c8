"""Every row of the error table, provoked at every entry point of the real platform."""

from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2

from mesh.rpc.status import DOMAIN, TABLE, find
from tests.contract.gateway.wire import REQUEST_ID, error_of
from tests.e2e import workflow_provocations  # noqa: F401 - it enters its own
from tests.e2e.platform import Platform
from tests.e2e.provocations import PROVOCATIONS, Provocation

ARRIVES_WITH_A_LATER_ISSUE = {
    # Budgets and the complete chain of guardrails
    *("BUDGET_EXCEEDED", "GUARDRAIL_BLOCKED"),
    # Only with REGISTRATION=closed: tests/rpc/orchestrator/identity/test_users.py
    "REGISTRATION_CLOSED",
}


def test_every_row_of_the_error_table_is_provoked() -> None:
    provoked = {reason for reason, _ in PROVOCATIONS}
    assert provoked | ARRIVES_WITH_A_LATER_ISSUE == set(TABLE)
    assert provoked.isdisjoint(ARRIVES_WITH_A_LATER_ISSUE)


@pytest.mark.parametrize(("reason", "provoke"), PROVOCATIONS, ids=[provocation.__name__ for _, provocation in PROVOCATIONS])
async def test_an_error_is_returned_as_documented(platform: Platform, reason: str, provoke: Provocation) -> None:
    responses = await provoke(platform)
    error = error_of(responses.rest, TABLE[reason].http_status, reason)
    if reason == "METHOD_NOT_ALLOWED":
        assert responses.rest.headers["allow"] == "GET, HEAD"
    if "retryable" in error["details"]:
        assert error["details"]["retryable"] is TABLE[reason].retryable
    _assert_no_internals(responses.rest)
    if responses.native is not None:
        _check_native(responses.native, reason, by_gateway=responses.by_gateway)


def _check_native(failure: grpc.aio.AioRpcError, reason: str, *, by_gateway: bool) -> None:
    row = TABLE[reason]
    assert failure.code() is row.code
    metadata: dict[str, Any] = {**dict(failure.initial_metadata() or ()), **dict(failure.trailing_metadata() or ())}
    assert not [key for key in metadata if key.startswith("x-mesh-e")]
    request_id = metadata["x-request-id"]
    assert REQUEST_ID.fullmatch(request_id)
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    assert (status.code, status.message) == (row.code.value[0], failure.details())
    info = find(status, error_details_pb2.ErrorInfo())
    assert info is not None
    assert (info.reason, info.domain) == (reason, DOMAIN)
    named = find(status, error_details_pb2.RequestInfo())
    assert (None if named is None else named.request_id) == (None if by_gateway else request_id)
    assert (find(status, error_details_pb2.BadRequest()) is not None) == (reason == "VALIDATION_ERROR")
    retry = find(status, error_details_pb2.RetryInfo())
    assert (retry is not None) == row.wants_retry_after
    assert retry is None or retry.retry_delay.seconds >= 1


def _assert_no_internals(response: httpx.Response) -> None:
    for word in ("Traceback", "sqlalchemy", "asyncpg", "grpc_status", "127.0.0.1", "site-packages"):
        assert word not in response.text
