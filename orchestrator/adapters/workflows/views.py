"""How much of the results of a run a response may hold."""

from uuid import UUID

from orchestrator.workflows.errors import ResultsTooLarge
from orchestrator.workflows.model import View

MOST_UNASKED = 1024 * 1024
"""Bytes of results in a response for which the caller has chosen no view."""
MOST_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""Bytes of results in any response: gRPC clients refuse messages of more than 4 MiB by default, and the rest needs room."""


def shows_results(view: View, result_bytes: int, run_id: UUID) -> bool:
    """Whether to read the results, which have so many bytes. Raises ResultsTooLarge if the caller wants more than fits."""
    if view is View.FULL and result_bytes > MOST_BYTES:
        message = (
            f"the results have {result_bytes:,} bytes and a response holds {MOST_BYTES:,}; "
            f"read them one by one with GetStep (GET /api/v1/runs/{run_id}/steps/{{step_id}})"
        )
        raise ResultsTooLarge(message, run_id=str(run_id), result_bytes=str(result_bytes), method="GetStep")
    return view is View.FULL or (view is View.FITTING and result_bytes <= MOST_UNASKED)
