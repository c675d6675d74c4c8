"""A clock that a test sets."""

from datetime import UTC, datetime, timedelta


class SetClock:
    """Stands still until the test moves it. Begins at a fixed moment, or at `begin`."""

    def __init__(self, begin: float = 1_800_000_000.0) -> None:
        self._monotonic = 1_000.0
        self._time = begin

    def monotonic(self) -> float:
        return self._monotonic

    def time(self) -> float:
        return self._time

    def now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=self._time)

    def advance(self, seconds: float) -> None:
        """Lets this much time pass."""
        self._monotonic += seconds
        self._time += seconds

    def set_back(self, seconds: float) -> None:
        """Sets the clock on the wall back; the time that has passed stays the same."""
        self._time -= seconds
