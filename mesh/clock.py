"""The clock of the process: the only place where the product reads the time.

Everything that decides by time takes a `Clock`, so that a test can set it (`tests/support/clock.py`). Code that only measures how long
something took uses `SYSTEM_CLOCK`.

The database's clock decides instead where several processes must agree: leases, due times and expiries of rows are written and compared
by PostgreSQL (`now()`, `clock_timestamp()`), and the shared token buckets by Redis. The clocks of two machines may differ.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds since an arbitrary moment. Never goes back, so durations, deadlines and ages are measured with it."""
        ...

    def time(self) -> float:
        """Seconds since the epoch. May be set at any moment; only for times that leave the process."""
        ...

    def now(self) -> datetime:
        """The same moment as `time`, in UTC."""
        ...


class _SystemClock:
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)


SYSTEM_CLOCK: Clock = _SystemClock()
