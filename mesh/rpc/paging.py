"""Pages of what has UUIDv7s for ids, newest first: a page begins after the last id of the one before."""

import base64
import binascii
from uuid import UUID

from mesh.errors import ValidationFailed

DEFAULT_PAGE = 50


def page_token(last: UUID) -> str:
    """The `next_page_token` of a page that ends with this id."""
    return base64.urlsafe_b64encode(last.bytes).decode()


def read_page_token(token: str) -> UUID | None:
    """The id after which the page begins; None for the first. Raises ValidationFailed for what is no token of ours."""
    if not token:
        return None
    try:
        return UUID(bytes=base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise ValidationFailed.of("page_token", "must be the next_page_token of an earlier answer") from None
