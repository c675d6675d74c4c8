"""The key by which a caller makes a request idempotent."""

import re

from mesh.errors import ValidationFailed

IDEMPOTENCY_KEY = "idempotency-key"
"""The metadata that holds it, over REST the header."""
_KEY = re.compile("[!-~]{1,200}")


def idempotency_key(field: str, header: str | None) -> str:
    """The idempotency key of a request, or "". Raises ValidationFailed if field and header differ or the header is not a valid key."""
    if header and not _KEY.fullmatch(header):
        raise ValidationFailed.of(IDEMPOTENCY_KEY, "must be 1 to 200 visible ASCII characters")
    if field and header and field != header:
        raise ValidationFailed.of("idempotency_key", "must equal the metadata idempotency-key if both are sent; send only one of them")
    return field or header or ""
