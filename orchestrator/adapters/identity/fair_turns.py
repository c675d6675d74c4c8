"""Turns at a scarce resource, shared fairly among addresses and user names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mesh.errors import RateLimitExceeded
from mesh.limits.limiter import CallerKind, network_of, refusal

LIMIT = "password_checks_waiting"


@dataclass(eq=False, slots=True)
class _Ticket:
    address: str
    name: str
    start: float
    due: float
    """When its turn is, in virtual time."""
    turn: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class FairTurns:
    """One caller at a time; `most` may wait.

    Weighted fair queueing over addresses: a ticket is due now, or one unit after the latest ticket of the same address if that is
    later, and virtual time advances by one unit in as many turns as there are callers. A ticket whose user name is waiting already is
    due one unit later. The ticket that is due first is next; if the queue is full, the one that is due last gives way. So the callers
    at one address, and those who try one name from many addresses, wait for each other and hardly delay other callers; and an attack
    on a name delays its owner without locking them out.
    """

    def __init__(self, most: int, seconds_each: float) -> None:
        self._most = most
        self._seconds_each = seconds_each
        self._now = 0.0
        self._ends: dict[str, float] = {}
        self._waiting: list[_Ticket] = []
        self._taken = False

    @asynccontextmanager
    async def turn(self, address: str, name: str) -> AsyncIterator[None]:
        """Waits for a turn and holds it. Raises RateLimitExceeded if the queue is full of tickets that are due earlier."""
        await self._wait(network_of(address), name.casefold())
        try:
            yield
        finally:
            self._next()

    async def _wait(self, address: str, name: str) -> None:
        start = max(self._now, self._ends.get(address, 0.0))
        ticket = _Ticket(address, name, start, start + any(other.name == name for other in self._waiting))
        if self._taken and len(self._waiting) >= self._most:
            self._make_room(ticket)
        self._ends[address] = start + 1
        self._waiting.append(ticket)
        if not self._taken:
            self._taken = True
            self._next()
        try:
            await ticket.turn
        except BaseException:
            self._leave(ticket)
            raise

    def _next(self) -> None:
        """Gives the turn to the ticket that is due first; of several to the one that has waited longest."""
        self._waiting = [ticket for ticket in self._waiting if not ticket.turn.done()]  # without those that were just cancelled
        if not self._waiting:
            self._taken = False
            self._ends.clear()
            return
        ticket = min(self._waiting, key=lambda one: one.due)
        self._now = max(self._now, ticket.start) + 1 / len(self._waiting)
        self._ends = {address: end for address, end in self._ends.items() if end > self._now}
        self._waiting.remove(ticket)
        ticket.turn.set_result(None)

    def _make_room(self, newcomer: _Ticket) -> None:
        last = max(reversed(self._waiting), key=lambda one: one.due)
        if last.due <= newcomer.due:
            raise self._refusal()
        self._remove(last)
        if not last.turn.done():
            last.turn.set_exception(self._refusal())

    def _remove(self, ticket: _Ticket) -> None:
        self._waiting.remove(ticket)
        if self._ends.get(ticket.address) == ticket.start + 1:
            self._ends[ticket.address] = ticket.start

    def _leave(self, ticket: _Ticket) -> None:
        """The caller does not wait any more: refused, cancelled while waiting, or cancelled just as the turn came."""
        if ticket in self._waiting:
            self._remove(ticket)
        elif not ticket.turn.cancelled() and ticket.turn.exception() is None:
            self._next()

    def _refusal(self) -> RateLimitExceeded:
        return refusal(LIMIT, CallerKind.EVERYONE, f"{self._most} waiting", self._seconds_each * self._most / 2)
