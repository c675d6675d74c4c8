"""What an agent's answer goes through before it leaves: credentials and keys are redacted."""

import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping

_TOKENS = {
    "anthropic_key": r"\bsk-ant-[A-Za-z0-9_-]{10,}",
    "openai_key": r"\bsk-(?:proj-)?[A-Za-z0-9_-]{20,}",
    "agentmesh_key": r"\bamk_[A-Za-z0-9_-]{20,}",
    "aws_access_key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "github_token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "slack_token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "google_api_key": r"\bAIza[0-9A-Za-z_-]{35}",
    # The header's length is bound and never given back: in text made to look like many headers the search stays linear.
    "json_web_token": r"\beyJ[A-Za-z0-9_-]{8,1000}+\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",
    "bearer_token": r"(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{20,}",
}
_TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _TOKENS.items()), re.ASCII)
_TOKEN_CHARACTERS = string.ascii_letters + string.digits + "_.~+/=-"
"""All that a token is made of; text can be cut in front of a run of them without changing what is found on either side."""
_CONTEXT = len("Bearer ")
"""How much of the text before a token decides whether it is one."""

_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_MARKER_LENGTH = 63
"""The longest line that begins or ends a private key."""
_PART_OF_A_MARKER = re.compile(r"-[A-Z0-9 -]{0,62}\Z")


class Redaction:
    """Redacts secrets in one answer, whole or piece by piece, and counts them by kind.

    However an answer is cut into pieces, the same text leaves: what can still grow into a secret waits for its end.
    """

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._inside_key = False
        self._unsorted = ""
        """May be a part of the line that begins or ends a private key."""
        self._word = ""
        """May be a part of a token."""
        self._before = ""
        """The end of the text before the word."""

    @property
    def found(self) -> Mapping[str, int]:
        """How many secrets of which kind were redacted."""
        return self._found

    def whole(self, text: str) -> str:
        """The text with every secret replaced by `[redacted: kind]`; a private key without an end goes to the end of the text."""
        return self.piece(text) + self.rest()

    def piece(self, text: str) -> str:
        """What of the stream so far may leave now."""
        self._unsorted += text
        return self._without_tokens("".join(self._without_keys()))

    def rest(self) -> str:
        """What is still held back when the stream ends."""
        text = self._word + ("" if self._inside_key else self._unsorted)
        self._word = self._unsorted = ""
        return "".join(self._redacted_tokens(text))

    def _without_keys(self) -> Iterator[str]:
        while marker := (_KEY_ENDS if self._inside_key else _KEY_BEGINS).search(self._unsorted):
            if not self._inside_key:
                yield self._unsorted[: marker.start()] + self._redacted("private_key")
            self._unsorted = self._unsorted[marker.end() :]
            self._inside_key = not self._inside_key
        if self._inside_key:
            self._unsorted = self._unsorted[-_MARKER_LENGTH:]
            return
        part = _PART_OF_A_MARKER.search(self._unsorted)
        ready = part.start() if part else len(self._unsorted)
        yield self._unsorted[:ready]
        self._unsorted = self._unsorted[ready:]

    def _without_tokens(self, text: str) -> str:
        if not text.rstrip(_TOKEN_CHARACTERS):  # nothing but token characters: the word goes on
            self._word += text
            return ""
        text = self._word + text
        ready = len(text.rstrip(_TOKEN_CHARACTERS))
        self._word = text[ready:]
        return "".join(self._redacted_tokens(text[:ready]))

    def _redacted_tokens(self, text: str) -> Iterator[str]:
        text, position = self._before + text, len(self._before)
        for token in _TOKEN.finditer(text, position):
            yield text[position : token.start()] + self._redacted(token.lastgroup or "token")
            position = token.end()
        yield text[position:]
        self._before = text[-_CONTEXT:]

    def _redacted(self, kind: str) -> str:
        self._found[kind] += 1
        return f"[redacted: {kind}]"
