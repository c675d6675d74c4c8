"""The simulator's rule of tokens: four UTF-8 bytes are one token, and a started one counts."""

BYTES_PER_TOKEN = 4


def tokens_of(size: int) -> int:
    """How many tokens `size` bytes are."""
    return -(-size // BYTES_PER_TOKEN)


def cut_to(text: str, max_tokens: int) -> str:
    """The longest beginning of `text` that has at most `max_tokens` tokens."""
    return text.encode()[: max_tokens * BYTES_PER_TOKEN].decode(errors="ignore")
