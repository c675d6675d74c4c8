"""Paged lists: page sizes, and tokens that name the last item of the page before."""

import base64
import binascii
from typing import Any
from uuid import UUID

from mesh.errors import ValidationFailed

DEFAULT_PAGE = 50
LARGEST_PAGE = 200
"""Larger sizes are read as this one."""
_NUMBER_BYTES = 8


def page_size(request: Any) -> int:
    """The size of the page that a request with the field `page_size` asks for."""
    return min(request.page_size, LARGEST_PAGE) if request.HasField("page_size") else DEFAULT_PAGE


def page_token(last: UUID) -> str:
    """The `next_page_token` of a page that ends with this UUIDv7."""
    return base64.urlsafe_b64encode(last.bytes).decode()


def read_page_token(token: str) -> UUID | None:
    """The id after which the page begins; None for the first page. Raises ValidationFailed for a token that no page returned."""
    if not token:
        return None
    try:
        return UUID(bytes=_decoded(token))
    except ValueError:
        raise invalid_page_token() from None


def number_token(last: int) -> str:
    """The `next_page_token` of a page that ends with this number."""
    return base64.urlsafe_b64encode(last.to_bytes(_NUMBER_BYTES)).decode()


def read_number_token(token: str) -> int | None:
    """The number after which the page begins; None for the first page. Raises ValidationFailed for a token that no page returned."""
    if not token:
        return None
    number = _decoded(token)
    if len(number) != _NUMBER_BYTES or number[0] > 0x7F:  # PostgreSQL has no larger numbers
        raise invalid_page_token()
    return int.from_bytes(number)


def text_token(last: str) -> str:
    """The `next_page_token` of a page that ends with this text."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def read_text_token(token: str) -> str | None:
    """The text after which the page begins; None for the first page. Raises ValidationFailed for a token that no page returned."""
    if not token:
        return None
    try:
        return _decoded(token).decode()
    except UnicodeDecodeError:
        raise invalid_page_token() from None


def invalid_page_token() -> ValidationFailed:
    """The error for a token that no page returned."""
    return ValidationFailed.of("page_token", "must be the next_page_token of an earlier response")


def _decoded(token: str) -> bytes:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise invalid_page_token() from None
