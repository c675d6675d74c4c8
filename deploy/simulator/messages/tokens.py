"""Counts tokens: four UTF-8 bytes are one token, rounded up."""

BYTES_PER_TOKEN = 4


def tokens_of(size: int) -> int:
    """The number of tokens in `size` bytes."""
    return -(-size // BYTES_PER_TOKEN)


def cut_to(text: str, max_tokens: int) -> str:
    """The longest prefix of `text` with at most `max_tokens` tokens."""
    return text.encode()[: max_tokens * BYTES_PER_TOKEN].decode(errors="ignore")
