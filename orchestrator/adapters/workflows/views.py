"""Limits the size of results in a response."""

from uuid import UUID

from orchestrator.workflows.errors import ResultsTooLarge
from orchestrator.workflows.model import View

MOST_BYTES_BY_DEFAULT = 1024 * 1024
"""The bytes of results in a response if the caller has not chosen a view."""
MOST_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""The bytes of results in any response. By default, gRPC clients reject messages above 4 MiB, and the other fields need room."""


def shows_results(view: View, result_bytes: int, run_id: UUID) -> bool:
    """Returns whether to read results of this size. Raises ResultsTooLarge if the caller asks for more than fits."""
    if view is View.FULL and result_bytes > MOST_BYTES:
        message = (
            f"the results have {result_bytes:,} bytes, but a response may have at most {MOST_BYTES:,}; "
            f"read them one by one with GetStep (GET /api/v1/runs/{run_id}/steps/{{step_id}})"
        )
        raise ResultsTooLarge(message, run_id=str(run_id), result_bytes=str(result_bytes), method="GetStep")
    return view is View.FULL or (view is View.FITTING and result_bytes <= MOST_BYTES_BY_DEFAULT)
