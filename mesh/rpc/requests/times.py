"""Times in requests."""

from datetime import UTC, datetime
from typing import Any

from mesh.errors import ValidationFailed, Violation

_LATEST = 4_102_444_800
"""2100-01-01T00:00:00Z."""


def times(request: Any, *names: str) -> dict[str, datetime]:
    """The times that a request has, in UTC. Raises ValidationFailed for those that are out of bounds."""
    given = [name for name in names if request.HasField(name)]
    if found := [Violation(name, "must be from 1970 to 2099") for name in given if not 0 <= getattr(request, name).seconds < _LATEST]:
        raise ValidationFailed.all(found)
    return {name: getattr(request, name).ToDatetime(tzinfo=UTC) for name in given}
