"""How many calls may be waiting to begin, found out by how long they wait.

A call begins when the slow part that somebody else does for it has begun: when an agent has taken it over, or at its end. What counts
is only the time before: it passes in the queues of this process, of the database and of the agent hosts, and grows when they are
short of CPU. How long a provider thinks does not count; a thousand calls may wait for a slow one.

That an agent has taken a call over costs a message. So one call in eight is watched until then and stands for the others, which wait
no longer as soon as they have been passed on.

The rule is that of CoDel (RFC 8289): if for a whole interval not one call began within the target, a queue is standing that serves
nobody. Then as many may wait as begin within the target (Little's law), and no more.
"""

from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic

TARGET_SECONDS = 0.25
INTERVAL_SECONDS = 0.25
FEWEST = 96
"""So many may wait on the slowest machine: twelve of those that are watched, each of which stands for eight."""
MOST = 1_000
WATCHED = 8
"""One call in so many is watched until an agent has taken it over."""


class Admission:
    """One process's. Not for threads."""

    def __init__(self, target_seconds: float = TARGET_SECONDS, clock: Callable[[], float] = monotonic) -> None:
        self._target = target_seconds
        self._clock = clock
        self._most_waiting = MOST
        self._waiting = 0
        self._interval_began = clock()
        self._begun = 0
        self._shortest = float("inf")
        self._passed_on = 0

    def admits(self) -> bool:
        """Whether another call may wait."""
        return self._waiting < self._most_waiting

    def enter(self) -> "Slot":
        """A call waits from now on."""
        if self._waiting == 0:  # whatever queue there was is gone
            self._most_waiting = MOST
        self._waiting += 1
        return Slot(self, self._clock())

    def watches(self) -> bool:
        """Whether the call that is passed on now stands for itself and the others; else it waits no longer."""
        watched = self._passed_on % WATCHED == 0
        self._passed_on += 1
        self._waiting += WATCHED - 1 if watched else -1
        return watched

    def leave(self, since: float, calls: int) -> None:
        """A call that has waited since then, and stands for so many, has begun."""
        now = self._clock()
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
    """One call's place among those that wait."""

    __slots__ = ("_admission", "_calls", "_since")

    def __init__(self, admission: Admission, since: float) -> None:
        self._admission: Admission | None = admission
        self._since = since
        self._calls = 1

    @property
    def has_begun(self) -> bool:
        """Whether the call waits no longer."""
        return self._admission is None

    def pass_on(self) -> bool:
        """Says, once, that the call goes to an agent; True for one whose beginning there is worth knowing, which `begun` then tells."""
        if (admission := self._admission) is None:
            return False
        if watched := admission.watches():
            self._calls = WATCHED
        else:
            self._admission = None
        return watched

    def begun(self) -> None:
        """Says, once or more often, that the call waits no longer."""
        if (admission := self._admission) is not None:
            self._admission = None
            admission.leave(self._since, self._calls)


_current: ContextVar[Slot | None] = ContextVar("admission_slot", default=None)


def adopt(slot: Slot) -> None:
    """Makes it the slot of the call for which this task, and those it starts, run."""
    _current.set(slot)


def pass_on() -> bool:
    """This call goes to an agent now. True for one that is watched: whoever passes it on says `begun` when the agent has it."""
    slot = _current.get()
    return slot is not None and slot.pass_on()


def begun() -> None:
    """The slow part of this call, which others do, has begun."""
    if (slot := _current.get()) is not None:
        slot.begun()
