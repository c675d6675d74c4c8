"""Tells the call to an agent that its caller has left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopSignal:
    """Set once, when no caller waits for the answer any longer.

    The task of a purchase is never cancelled, because it must settle every call that it began. It is stopped by this signal.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._callback: Callable[[], None] | None = None

    def set(self) -> None:
        """Sets the signal and calls the current callback, if there is one."""
        if not self.is_set:
            self.is_set = True
            if self._callback is not None:
                self._callback()

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Calls `callback` when the signal is set while the block runs, or at once if it is already set."""
        self._callback = callback
        try:
            if self.is_set:
                callback()
            yield
        finally:
            self._callback = None
