"""How the caller's going away reaches the call to the agent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopSignal:
    """Set once, when nobody waits for the answer any more.

    A purchase runs as a task of its own that is never cancelled itself: it must settle whatever it began.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._callback: Callable[[], None] | None = None

    def set(self) -> None:
        """Says stop, to whoever listens now."""
        if not self.is_set:
            self.is_set = True
            if self._callback is not None:
                self._callback()

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Calls `callback` when the signal is set while the block runs; at once if it has been set already."""
        self._callback = callback
        try:
            if self.is_set:
                callback()
            yield
        finally:
            self._callback = None
