import secrets

import pytest

from mesh.security.secret_strength import weakness


@pytest.mark.parametrize(
    "secret",
    [
        *("", "short", "x" * 64, "0123456789" * 4, "ab" * 32, "x8Vq2mZr5tYw1pLb" * 2),
        *("correct-horse-my-Secret-battery-staple", "CHANGEME-9f8e7d6c5b4a39281706fedcba", "qwertyuiopasdfghjklzxcvbnm1029384756"),
        *("your-256-bit-key-that-nobody-will-guess", "agentmesh-production-key-of-2026-eu-west"),
        "äöü" * 5,
    ],
)
def test_a_guessable_secret_is_weak(secret: str) -> None:
    why = weakness(secret)
    assert why
    assert not secret or secret not in why


def test_a_random_secret_is_strong() -> None:
    for _ in range(2000):
        assert weakness(secrets.token_urlsafe(32)) is None
        assert weakness(secrets.token_hex(32)) is None
