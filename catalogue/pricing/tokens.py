"""Upper estimates of tokens, for the books of calls whose provider did not say what they used."""


def estimate_tokens(*texts: str) -> int:
    """At most how many tokens the texts have together.

    English text has about four bytes a token, source code and other languages about three; rounding up at three bytes errs on
    the side of the higher cost.
    """
    return sum(-(-len(text.encode()) // 3) for text in texts)
