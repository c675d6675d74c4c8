"""Limits the number of calls that wait to begin, by how long they wait.

A call begins when an agent has accepted it, or at its end. Only the time before that counts: it is spent in the queues of this process,
of the database and of the agent hosts, and grows when they lack CPU. The time that a provider takes does not count; a thousand calls
may wait for a slow one.

To learn that an agent has accepted a call costs a message. Therefore only one call in eight is watched until then and counts for the other
seven, which stop waiting as soon as they are forwarded.

The rule is that of CoDel (RFC 8289): if no call began within the target for a whole interval, there is a standing queue, which only
adds delay. Then only as many calls may wait as begin within the target (Little's law).
"""

from contextvars import ContextVar

from mesh.clock import SYSTEM_CLOCK, Clock

TARGET_SECONDS = 0.25
INTERVAL_SECONDS = 0.25
FEWEST = 96
"""Calls that may wait even on the slowest machine: twelve watched calls, each of which counts for eight."""
MOST = 1_000
RESERVE = 1.25
"""Callers whose credential was accepted lately find room where others are refused."""
WATCHED = 8
"""One call in this many is watched until an agent has accepted it."""


class Admission:
    """The limit of one process. Not thread-safe."""

    def __init__(self, target_seconds: float = TARGET_SECONDS, clock: Clock = SYSTEM_CLOCK) -> None:
        self._target = target_seconds
        self._now = clock.monotonic
        self._most_waiting = MOST
        self._waiting = 0
        self._interval_began = self._now()
        self._begun = 0
        self._shortest = float("inf")
        self._passed_on = 0

    def admits(self) -> bool:
        """Whether another call may wait."""
        return self._waiting < self._most_waiting

    def admits_known(self) -> bool:
        """Whether another call of a known caller may wait: a quarter more than of others."""
        return self._waiting < self._most_waiting * RESERVE

    def enter(self) -> "Slot":
        """Counts a call as waiting from now on."""
        if self._waiting == 0:  # the queue has emptied
            self._most_waiting = MOST
        self._waiting += 1
        return Slot(self, self._now())

    def watches(self) -> bool:
        """Whether the call that is being forwarded is watched and counts for seven others; otherwise it stops waiting."""
        watched = self._passed_on % WATCHED == 0
        self._passed_on += 1
        self._waiting += WATCHED - 1 if watched else -1
        return watched

    def leave(self, since: float, calls: int) -> None:
        """Records that a call that has waited since `since`, and counts for `calls` calls, has begun."""
        now = self._now()
        self._waiting -= calls
        self._begun += calls
        self._shortest = min(self._shortest, now - since)
        if now - self._interval_began >= INTERVAL_SECONDS:
            self._adapt(now)

    def _adapt(self, now: float) -> None:
        if self._shortest > self._target:
            in_target = self._begun / (now - self._interval_began) * self._target
            self._most_waiting = max(FEWEST, int(in_target))
        else:
            self._most_waiting = min(MOST, self._most_waiting + max(1, self._most_waiting // 20))
        self._interval_began, self._begun, self._shortest = now, 0, float("inf")


class Slot:
    __slots__ = ("_admission", "_calls", "_since")

    def __init__(self, admission: Admission, since: float) -> None:
        self._admission: Admission | None = admission
        self._since = since
        self._calls = 1

    @property
    def has_begun(self) -> bool:
        """Whether the call has stopped waiting."""
        return self._admission is None

    def pass_on(self) -> bool:
        """Records that the call goes to an agent. True if the call is watched: then call `begun` when the agent has accepted it."""
        if (admission := self._admission) is None:
            return False
        if watched := admission.watches():
            self._calls = WATCHED
        else:
            self._admission = None
        return watched

    def begun(self) -> None:
        """Records that the call waits no longer; may be called repeatedly."""
        if (admission := self._admission) is not None:
            self._admission = None
            admission.leave(self._since, self._calls)


_current: ContextVar[Slot | None] = ContextVar("admission_slot", default=None)


def adopt(slot: Slot) -> None:
    """Sets the slot of this task and of the tasks it starts."""
    _current.set(slot)


def pass_on() -> bool:
    """Records that this call goes to an agent. True if it is watched: then call `begun` when the agent has accepted it."""
    slot = _current.get()
    return slot is not None and slot.pass_on()


def begun() -> None:
    """Records that this call has begun."""
    if (slot := _current.get()) is not None:
        slot.begun()
