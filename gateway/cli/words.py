"""Values as people read them: money, durations, moments, names of states."""

from datetime import datetime
from typing import Any


def money(micro_usd: int) -> str:
    """An amount in US dollars; small amounts keep their digits."""
    dollars = micro_usd / 1_000_000
    return f"${dollars:,.2f}" if dollars >= 100 or not micro_usd else f"${dollars:,.4f}"


def seconds(value: float) -> str:
    """A duration."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def count(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def share(part: int, whole: int) -> str:
    """A share in percent, in parentheses; empty of nothing."""
    return f" ({100 * part / whole:.1f} %)" if whole else ""


def moment(message: Any, field: str) -> str:
    """A timestamp of a message in local time, to the second; empty if it is not set."""
    if not message.HasField(field):
        return ""
    return local(getattr(message, field).ToSeconds())


def local(since_epoch: float) -> str:
    """A moment in local time."""
    return datetime.fromtimestamp(since_epoch).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def state(message: Any, field: str) -> str:
    """The value of an enum field in words: `waiting approval` for RUN_STATUS_WAITING_APPROVAL; empty if unspecified."""
    return state_of(message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field))


def state_of(enum: Any, number: int) -> str:
    """A value of an enum in words."""
    if not number:
        return ""
    known = enum.values_by_number.get(number)
    if known is None:  # from a newer platform
        return str(number)
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(known.name.removeprefix(prefix).lower().replace("_", " "))


def tokens(usage: Any) -> int:
    """All tokens of a call."""
    return int(usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens)


def one_line(text: str) -> str:
    """The text without line breaks and control characters, for a table or a line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
