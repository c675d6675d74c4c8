"""What a client of the platform records: its requests, their ids, and how each attempt ended.

The ledger of all calls is the clients' side of the reconciliation in `reconcile`.
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
"""The answer broke off without a status."""
UNAVAILABLE = "UNAVAILABLE"
"""Reported by the client library: there was no connection, or (gRPC cannot tell) it broke before any response."""
NOTHING_BOUGHT = frozenset({"SERVICE_UNAVAILABLE", "AGENT_UNAVAILABLE"})
"""The reasons of UNAVAILABLE, with which the platform promises that the call can safely be sent again."""
MAY_BE_BOUGHT = frozenset({LOST, "AGENT_EXECUTION_FAILED", "UPSTREAM_TIMEOUT"})
"""Outcomes that a client retries only under an idempotency key."""
PATIENCE_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, unary or streamed."""

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
    """The call ended without an answer and without an error of the table; `unavailable` is the client library's status."""

    def __init__(self, *, unavailable: bool = False) -> None:
        super().__init__()
        self.unavailable = unavailable


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: its id, the entry point that it used, and its outcome: one of the constants above, or the reason of the error."""

    request_id: str
    client: str
    outcome: str
    answer: Answer | None = None


@dataclass(slots=True)
class Call:
    """One piece of work that a client wants done; its `input` is unique."""

    input: str
    streamed: bool = False
    key: str = ""
    """The idempotency key; empty for none. Streams have none."""
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """The last outcome."""
        return self.attempts[-1].outcome


Ledger = list[Call]


class Client(Protocol):
    """One entry point to the platform. Raises Refused or ConnectionBroke."""

    name: str

    async def ask(self, call: Call, request_id: str) -> Answer:
        """Send one request and return its complete answer."""
        ...


def new_request_id() -> str:
    """A request id in the form that clients may choose."""
    return f"req_chaos_{uuid4().hex}"


async def attempt(call: Call, client: Client) -> Attempt:
    """Send the call once and record the outcome."""
    request_id = new_request_id()
    try:
        made = Attempt(request_id, client.name, OK, await client.ask(call, request_id))
    except Refused as refused:
        made = Attempt(request_id, client.name, refused.reason)
    except ConnectionBroke as broken:
        made = Attempt(request_id, client.name, UNAVAILABLE if broken.unavailable else LOST)
    call.attempts.append(made)
    return made


async def insist(call: Call, clients: Sequence[Client], seconds: float) -> None:
    """Send the call through random entry points until its outcome is final, for at most about `seconds`, as the docs recommend.

    UNAVAILABLE is retried after a pause, also if gRPC itself reports it, as gRPC's usual retry policy does. Calls that may have been
    bought are retried only under an idempotency key.
    """
    again = {UNAVAILABLE, *NOTHING_BOUGHT, *(MAY_BE_BOUGHT if call.key else ())}
    ends = asyncio.get_running_loop().time() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while (await attempt(call, random.choice(clients))).outcome in again and asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(random.uniform(0.5, 1) * pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
