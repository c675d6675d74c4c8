"""The delays between attempts to reach a server of the platform."""

from collections.abc import Iterator

_DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def delays(longest: float = 1.0) -> Iterator[float]:
    """The seconds to wait before each further attempt, without end: 0.05, 0.1, 0.2, 0.5, 1, 2, 5, then `longest` forever.

    For the platform's own servers (PostgreSQL, Redis, Kafka), which are usually back within a second: the first attempts follow quickly,
    so that a restart is barely noticed, and the last are rare enough to cost nothing. `longest` is 1 s if a caller or a lease waits
    for the attempt, and 5 s otherwise. There is no jitter, because a process has few such loops. Requests to a model provider
    follow its `retry-after` and are spread instead.
    """
    for delay in _DELAYS:
        if delay > longest:
            break
        yield delay
    while True:
        yield longest
