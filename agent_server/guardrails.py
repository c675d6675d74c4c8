"""What an agent's answer goes through before it leaves: credentials and keys are redacted."""

import re
from collections import Counter
from collections.abc import Mapping

_SECRETS = {
    "private_key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    "anthropic_key": r"\bsk-ant-[A-Za-z0-9_-]{10,}",
    "openai_key": r"\bsk-(?:proj-)?[A-Za-z0-9_-]{20,}",
    "agentmesh_key": r"\bamk_[A-Za-z0-9_-]{20,}",
    "aws_access_key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "github_token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "slack_token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "google_api_key": r"\bAIza[0-9A-Za-z_-]{35}",
    "json_web_token": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",
    "bearer_token": r"(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{20,}",
}
_SECRET = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _SECRETS.items()), re.DOTALL)
_KEY_BEGINS = "-----BEGIN "
_KEY_ENDS = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
_OPEN_BLOCK = re.compile(r"-----BEGIN [A-Z ]*(?:PRIVATE KEY-----|$)")
_LAST_WORDS = re.compile(r"(?:[Bb]earer )?\S*\Z")
HELD_BACK = 16 * 1024
"""The most characters of a stream that wait for the end of something that may be a secret."""


class Redaction:
    """Redacts secrets in one answer, whole or piece by piece, and counts them by kind."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._held = ""

    @property
    def found(self) -> Mapping[str, int]:
        """How many secrets of which kind were redacted."""
        return self._found

    def whole(self, text: str) -> str:
        """The text with every secret replaced by `[redacted: kind]`."""
        return _SECRET.sub(self._replacement, text)

    def piece(self, text: str) -> str:
        """What of the stream so far may leave now: a last word that can still grow into a secret waits for its end."""
        self._held += text
        ready = len(self._held) if len(self._held) > HELD_BACK else self._safe_length()
        out, self._held = self._held[:ready], self._held[ready:]
        return self.whole(out)

    def rest(self) -> str:
        """What is still held back when the stream ends."""
        out, self._held = self._held, ""
        return self.whole(out)

    def _safe_length(self) -> int:
        last_word = _LAST_WORDS.search(self._held)
        safe = last_word.start() if last_word else len(self._held)
        begins = self._held.rfind(_KEY_BEGINS)
        if begins >= 0 and _OPEN_BLOCK.match(self._held, begins) and not _KEY_ENDS.search(self._held, begins):
            safe = min(safe, begins)
        return safe

    def _replacement(self, match: re.Match[str]) -> str:
        kind = match.lastgroup or "secret"
        self._found[kind] += 1
        return f"[redacted: {kind}]"
