"""What a client of the platform remembers: what it asked, under which request ids, and how each attempt ended.

The ledger of all calls is the client's side of the reckoning in `reconcile`.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

OK = "OK"
CANCELLED = "CANCELLED"
LOST = "LOST"
"""The answer broke off, and nobody said how the call ended."""
UNAVAILABLE = "UNAVAILABLE"
"""The client's own library says so: there was no connection, or, to gRPC alike, it broke before anything came back."""
NOTHING_BOUGHT = frozenset({"SERVICE_UNAVAILABLE", "AGENT_UNAVAILABLE"})
"""The reasons of UNAVAILABLE: the platform's word that the call may be sent again without a second thought."""
MAY_BE_BOUGHT = frozenset({LOST, "AGENT_EXECUTION_FAILED", "UPSTREAM_TIMEOUT"})
"""What a client repeats only under an idempotency key."""
PATIENCE_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, unary or streamed to its end."""

    execution_id: str
    text: str
    input_tokens: int
    output_tokens: int


class Refused(Exception):
    """The platform answered with an error of its table."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConnectionBroke(Exception):
    """The call ended without an answer and without an error of the table; `unavailable` is what the client's library makes of it."""

    def __init__(self, *, unavailable: bool = False) -> None:
        super().__init__()
        self.unavailable = unavailable


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: its id, the door that it took, and one of the outcomes above or the reason that it was answered with."""

    request_id: str
    door: str
    outcome: str
    answer: Answer | None = None


@dataclass(slots=True)
class Call:
    """One piece of work that a client wants done; `input` is like no other call's."""

    input: str
    streamed: bool = False
    key: str = ""
    """The idempotency key; empty for none. Streams take none."""
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """How it ended at last."""
        return self.attempts[-1].outcome


Ledger = list[Call]


class Door(Protocol):
    """One way into the platform. Raises Refused or ConnectionBroke."""

    name: str

    async def ask(self, call: Call, request_id: str) -> Answer:
        """The whole answer to one request."""
        ...


def new_request_id() -> str:
    """A request id as a client may choose it."""
    return f"req_chaos_{uuid4().hex}"


async def attempt(call: Call, door: Door) -> Attempt:
    """Sends the call once and notes how that ended."""
    request_id = new_request_id()
    try:
        made = Attempt(request_id, door.name, OK, await door.ask(call, request_id))
    except Refused as refused:
        made = Attempt(request_id, door.name, refused.reason)
    except ConnectionBroke as broken:
        made = Attempt(request_id, door.name, UNAVAILABLE if broken.unavailable else LOST)
    call.attempts.append(made)
    return made


async def insist(call: Call, doors: Sequence[Door], seconds: float) -> None:
    """Sends the call, each time by any of the doors, until it ends for good: for at most about `seconds`, as the documents advise.

    UNAVAILABLE is sent again after a pause, gRPC's own as well, as by its usual retry policy; what may have been bought is sent
    again only under an idempotency key.
    """
    again = {UNAVAILABLE, *NOTHING_BOUGHT, *(MAY_BE_BOUGHT if call.key else ())}
    ends = asyncio.get_running_loop().time() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while (await attempt(call, random.choice(doors))).outcome in again and asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(random.uniform(0.5, 1) * pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
