"""Reads a result, which can have 16 MB, as far as it fits into a response."""

from typing import Any

from sqlalchemy import Column, Row, case, func

from mesh.errors import AnswerTooLarge
from mesh.rpc.requests.answers import MOST_BYTES
from orchestrator.executions.model import Excerpt


def result_columns(result: Column[Any], excerpt: Excerpt) -> list[Any]:
    """The columns `result`, `result_bytes` and `result_characters`. A whole result that does not fit is not read."""
    shown: Any
    characters: Any
    if excerpt.limit is None:
        size = func.octet_length(result)
        rest = func.substr(result, excerpt.offset + 1) if excerpt.offset else result
        shown, characters = case((size <= MOST_BYTES, rest), else_=""), case((size <= MOST_BYTES, func.char_length(result)), else_=0)
    else:
        shown, characters = func.substr(result, excerpt.offset + 1, excerpt.limit), func.char_length(result)
    return [shown.label("result"), func.octet_length(result).label("result_bytes"), characters.label("result_characters")]


def check(row: Row[Any], excerpt: Excerpt) -> None:
    """Raises AnswerTooLarge if the whole result was asked for and was not read."""
    if excerpt.limit is None and row.result_bytes > MOST_BYTES:
        message = (
            f"the result has {row.result_bytes:,} bytes, but an answer may have at most {MOST_BYTES:,}; "
            "read it in pieces with result_offset and result_limit"
        )
        raise AnswerTooLarge(message, result_bytes=str(row.result_bytes), limit_bytes=str(MOST_BYTES))
