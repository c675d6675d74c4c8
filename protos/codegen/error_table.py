"""The one error table: the options of the enum ErrorReason, and docs/errors.md made from them."""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from protos.codegen.contracts import ContractError, Contracts

ENUM = "agentmesh.common.v1.ErrorReason"
PREFIX = "ERROR_REASON_"
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}

_HEAD = """\
<!-- Made by `make gen` from protos/agentmesh/common/v1/error_reason.proto: edit that file, not this one. -->
# Errors

Every failed call says why by a reason. Over gRPC it is `google.rpc.ErrorInfo.reason` (domain `agentmesh`) in the
details of the status; over REST it is `error.code` of the envelope that answers every request that is not a success:

```json
{
  "error": {
    "code": "AGENT_NOT_FOUND",
    "message": "No agent has the id 'marketing_seo_strategist_agent_1_9999'.",
    "details": {"agent_id": "marketing_seo_strategist_agent_1_9999"},
    "request_id": "req_0198c2a4f1d27c3e9f6b1a2c3d4e5f60",
    "timestamp": "2026-02-18T10:30:00Z"
  }
}
```

`details` holds the reason's metadata and, where they apply, `field_violations` (a list of `field` and `description`),
`retry_after_seconds` and `retryable`. On gRPC these are `BadRequest`, `RetryInfo` and the metadata `retryable`.
`request_id` is also the header `x-request-id` and stands in every log line. Answers with 429 and 503 carry `Retry-After`,
those with 401 `WWW-Authenticate`, those with 405 `Allow`.

*Retryable* says whether the same call can succeed when it is sent again; where a case says so itself in
`details.retryable`, that wins.

| reason | HTTP | gRPC | retryable | meaning | metadata |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What one reason means on the wire and to a person."""

    reason: str
    http_status: int
    grpc_code: str
    retryable: bool
    meaning: str
    metadata: tuple[str, ...]


def rows(contracts: Contracts) -> list[Row]:
    """The table in the order of the enum. Raises ContractError for a reason without its options or comment."""
    return list(_rows(contracts))


def _rows(contracts: Contracts) -> Iterator[Row]:
    enum = contracts.enum(ENUM)
    for value in enum.values:
        if value.number == 0:
            continue
        options = contracts.option(value, "agentmesh.common.v1.error")
        comment = contracts.comment(f"{enum.full_name}.{value.name}")
        if not options or options.grpc_code not in _CODES or not 400 <= options.http_status <= 599 or not comment:
            raise ContractError(f"{value.name}: a reason needs the option `error` (gRPC code, HTTP status) and a comment")
        yield Row(
            reason=value.name.removeprefix(PREFIX),
            http_status=options.http_status,
            grpc_code=_CODES[options.grpc_code],
            retryable=options.retryable,
            meaning=comment,
            metadata=tuple(options.metadata),
        )


def markdown(table: list[Row]) -> str:
    """docs/errors.md."""
    return _HEAD + "".join(_line(row) for row in table)


def _line(row: Row) -> str:
    cells = [
        f"`{row.reason}`",
        str(row.http_status),
        row.grpc_code,
        "yes" if row.retryable else "no",
        row.meaning,
        ", ".join(f"`{name}`" for name in row.metadata),
    ]
    return "| " + " | ".join(" ".join(cell.replace("|", r"\|").split()) for cell in cells) + " |\n"
