"""The limit on the size of answers: by default, gRPC clients refuse a message of more than 4 MiB, without saying what to do."""

from typing import Any

from google.protobuf.message import Message

from mesh.errors import AnswerTooLarge

MOST_BYTES = 4 * 1024 * 1024
_ADVICE = {
    "result_limit": "read the result in pieces with result_offset and result_limit",
    "view": "leave out the results with view=VIEW_BASIC and read them one by one with GetStep",
    "page_size": "ask for a smaller page with page_size",
    "limit": "ask for a smaller page with limit",
}
"""What to do, by the field of the request with which to do it."""


def check_size(request: Any, answer: Message) -> None:
    """Raises AnswerTooLarge, with the field of the request that makes the answer smaller."""
    size = answer.ByteSize()
    if size > MOST_BYTES:
        known = request.DESCRIPTOR.fields_by_name
        advice = next((advice for field, advice in _ADVICE.items() if field in known), "read it over REST")
        message = f"the answer has {size:,} bytes, but an answer may have at most {MOST_BYTES:,}; {advice}"
        raise AnswerTooLarge(message, answer_bytes=str(size), limit_bytes=str(MOST_BYTES))
