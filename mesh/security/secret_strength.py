"""Tells a secret that somebody could guess from one that nobody can."""

SHORTEST_BYTES = 32
FEWEST_CHARACTERS = 12
"""Different ones. 32 random hexadecimal digits have fewer with a probability below one in a hundred thousand."""
KNOWN_WORDS = (
    *("secret", "password", "passw0rd", "changeme", "change-me", "change_me", "default", "example", "placeholder", "insecure"),
    *("letmein", "qwerty", "agentmesh", "123456", "abcdef", "your-256-bit", "supersecure", "development"),
)


def weakness(secret: str) -> str | None:
    """Why the secret is not to be used for signing, in words that do not repeat it; None for a good one."""
    size = len(secret.encode())
    if size < SHORTEST_BYTES:
        return f"is {size} bytes long, and at least {SHORTEST_BYTES} are needed"
    if len(set(secret)) < FEWEST_CHARACTERS:
        return "is made of too few different characters"
    if (secret + secret).find(secret, 1) < len(secret):
        return "repeats itself"
    if any(word in secret.lower() for word in KNOWN_WORDS):
        return "contains a word that is guessed first"
    return None
