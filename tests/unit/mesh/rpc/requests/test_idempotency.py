import pytest

from mesh.errors import ValidationFailed
from mesh.rpc.requests.idempotency import idempotency_key


@pytest.mark.parametrize(
    ("field", "header", "key"), [("", None, ""), ("", "", ""), ("k", None, "k"), ("", "k", "k"), ("k", "k", "k"), ("k", "", "k")]
)
def test_a_key_is_read_from_the_field_the_header_or_both(field: str, header: str | None, key: str) -> None:
    assert idempotency_key(field, header) == key


def test_two_different_keys_are_refused() -> None:
    with pytest.raises(ValidationFailed, match="must equal"):
        idempotency_key("a", "b")


@pytest.mark.parametrize("header", ["k" * 201, "two words", "tab\there", "ümlaut", "nul\x00", "line\n", " "])
def test_a_header_is_validated_like_the_field(header: str) -> None:
    with pytest.raises(ValidationFailed, match="visible ASCII"):
        idempotency_key("", header)


def test_the_longest_key_is_accepted() -> None:
    assert idempotency_key("", "~" * 200) == "~" * 200
