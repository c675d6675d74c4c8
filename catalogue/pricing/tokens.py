"""Upper estimates of tokens, for calls whose provider reported no usage."""


def estimate_tokens(*texts: str) -> int:
    """The most tokens that the texts have together.

    English text has about four bytes per token, source code and other languages about three. Three bytes, rounded up, err on the side
    of the higher cost.
    """
    return sum(-(-len(text.encode()) // 3) for text in texts)
