"""Recognises weak secrets."""

SHORTEST_BYTES = 32
FEWEST_CHARACTERS = 12
"""Distinct characters. 32 random hexadecimal digits have fewer with a probability below 1 in 100,000."""
KNOWN_WORDS = (
    *("secret", "password", "passw0rd", "changeme", "change-me", "change_me", "default", "example", "placeholder", "insecure"),
    *("letmein", "qwerty", "agentmesh", "123456", "abcdef", "your-256-bit", "supersecure", "development"),
)


def weakness(secret: str) -> str | None:
    """Why the secret must not be used for signing, without quoting it; None for a strong secret."""
    size = len(secret.encode())
    if size < SHORTEST_BYTES:
        return f"is {size} bytes long; use at least {SHORTEST_BYTES}"
    if len(set(secret)) < FEWEST_CHARACTERS:
        return f"has fewer than {FEWEST_CHARACTERS} different characters"
    if (secret + secret).find(secret, 1) < len(secret):
        return "repeats itself"
    if any(word in secret.lower() for word in KNOWN_WORDS):
        return "contains a word that attackers guess first"
    return None
