from itertools import islice

import pytest

from mesh import backoff


@pytest.mark.parametrize(
    ("longest", "first"),
    [
        (1.0, [0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 1.0, 1.0]),
        (5.0, [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0]),
        (0.3, [0.05, 0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3]),
    ],
)
def test_delays_grow_to_the_maximum_and_never_end(longest: float, first: list[float]) -> None:
    assert list(islice(backoff.delays(longest), 8)) == first
