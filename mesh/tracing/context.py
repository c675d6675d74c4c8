"""What services tell each other about a trace (W3C Trace Context), and which traces are sampled."""

import random
import re
from dataclasses import dataclass
from typing import NamedTuple

TRACEPARENT = "traceparent"
_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_RANDOM_BITS = 56
"""The last bits of a trace id are random, by W3C Trace Context level 2; of a UUID version 7 too."""


class TraceContext(NamedTuple):
    """A span that another span can follow."""

    trace_id: int
    span_id: int
    sampled: bool

    @property
    def header(self) -> str:
        """The value of `traceparent`."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{'01' if self.sampled else '00'}"


def read_header(header: str | None) -> TraceContext | None:
    """The context in a `traceparent`; None if it is absent or malformed."""
    found = _HEADER.fullmatch(header) if header else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    context = TraceContext(int(found[2], 16), int(found[3], 16), bool(int(found[4], 16) & _SAMPLED))
    return context if context.trace_id and context.span_id else None


def new_trace_id() -> int:
    return random.getrandbits(128) or 1


def new_span_id() -> int:
    return random.getrandbits(64) or 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which traces are sampled. `follows_caller`: a trace that came from another service keeps the decision of that service."""

    ratio: float
    follows_caller: bool = True

    def decides(self, trace_id: int) -> bool:
        """The decision for a trace that begins here. All processes decide the same about the same id."""
        return (trace_id & ((1 << _RANDOM_BITS) - 1)) >= round((1 - self.ratio) * (1 << _RANDOM_BITS))

    def continues(self, caller: TraceContext) -> bool:
        """The decision for a trace that another service began."""
        return caller.sampled if self.follows_caller else self.decides(caller.trace_id)
