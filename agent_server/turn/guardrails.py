"""Output guardrails: credentials and keys are redacted before an agent's answer leaves."""

import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
"""Characters that cannot be seen, as a regular expression's set: a key is the same key with them before, inside or behind it."""
_HIDDEN = f"[{_INVISIBLE}]*"


def _spelled(literal: str) -> str:
    """A pattern for the text after its first character, with invisible characters anywhere in it."""
    return "".join(_HIDDEN + re.escape(character) for character in literal[1:])


def _many(characters: str, least: int) -> str:
    return f"[{_INVISIBLE}{characters}]{{{least},}}"


def _exactly(characters: str, count: int) -> str:
    return f"(?:{_HIDDEN}[{characters}]){{{count}}}"


_WORD = "A-Za-z0-9_-"
_HEX = "[0-9A-Fa-f]"
_BEGINS = rf"(?:(?<![A-Za-z0-9].)|(?<=\\[abefnrtv0].)|(?<=\\x{_HEX * 2}.)|(?<=\\u{_HEX * 4}.)|(?<=[%=]{_HEX * 2}.))"
"""Whether a key begins with the character just read. A letter in front makes it a part of a word, unless it ends an escape: `\\n` in JSON,
`%0A` in a URL. Keys whose beginning occurs in no word do without this."""
_GITHUB = f"{_HIDDEN}h{_HIDDEN}[pousr]{_HIDDEN}_{_many('A-Za-z0-9', 36)}|{_spelled('github_pat_')}{_many('A-Za-z0-9_', 40)}"
# The header's length is bounded and possessive, so that the search stays linear in text that is made to look like many headers.
_JWT = rf"{_spelled('eyJ')}[{_INVISIBLE}{_WORD}]{{8,1000}}+\.{_HIDDEN}e{_spelled('eyJ')}{_many(_WORD, 8)}\.{_many(_WORD, 1)}"
_TOKENS = {
    "anthropic_key": rf"(?<=s){_spelled('sk-ant-')}{_many(_WORD, 10)}",
    "openai_key": rf"(?<=s){_BEGINS}{_spelled('sk-')}(?:{_spelled('-proj-')})?{_many(_WORD, 20)}",
    "agentmesh_key": rf"(?<=a){_spelled('amk_')}{_many(_WORD, 20)}",
    "aws_access_key": rf"(?<=A){_BEGINS}(?:{_spelled('AKIA')}|{_spelled('ASIA')}){_exactly('0-9A-Z', 16)}(?![A-Za-z0-9])",
    "github_token": f"(?<=g)(?:{_GITHUB})",
    "slack_token": rf"(?<=x){_spelled('xox')}{_HIDDEN}[abprs]{_HIDDEN}-{_many('A-Za-z0-9-', 10)}",
    "google_api_key": rf"(?<=A){_BEGINS}{_spelled('AIza')}{_exactly(_WORD, 35)}",
    "json_web_token": f"(?<=e){_JWT}",
}
_BEGINNINGS = ("sk-", "amk_", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "AIza", "eyJ")
"""Text without invisible characters contains none of these tokens unless it contains one of these. Most answers contain none, and
searching for them takes a tenth of the pattern's time."""
_TOKEN = re.compile(f"[saAgxe](?:{'|'.join(f'(?P<{kind}>{pattern})' for kind, pattern in _TOKENS.items())})", re.DOTALL)

_MOST_GAPS, _LONGEST_GAP = 8, len("\\u0020")
_GAP = rf"(?:[\s:\"'=+{_INVISIBLE}]|%20|\\u0020|\\[nrt\"])"
_BEARER = re.compile(rf"(?i:bearer){_GAP}{{1,{_MOST_GAPS}}}(?P<token>[A-Za-z0-9._~+/={_INVISIBLE}-]{{20,}})")

_TOKEN_CHARACTERS = (
    string.ascii_letters
    + string.digits
    + "_.~+/=-"
    + "".join(chr(code) for code in range(0x00AD, 0xFF00) if re.match(f"[{_INVISIBLE}]", chr(code)))
)
"""All that a token can consist of. Cutting the text in front of a run of them does not change what is found on either side."""
_CONTEXT = len("bearer") + _MOST_GAPS * _LONGEST_GAP
"""How many characters before a token decide whether it is one."""

_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_MARKER_LENGTH = 63
"""The longest line that begins or ends a private key."""
_PART_OF_A_MARKER = re.compile(r"-[A-Z0-9 -]{0,62}\Z")


class _Secret(NamedTuple):
    start: int
    end: int
    kind: str


class Redaction:
    """Redacts the secrets in one answer, whole or piece by piece, and counts them by kind. Takes time linear in the answer's length.

    The output does not depend on how the answer is cut into pieces: text that can still become part of a secret is held back.
    """

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._inside_key = False
        self._unsorted = ""
        """May be part of the line that begins or ends a private key."""
        self._word = ""
        """May be part of a token."""
        self._before = ""
        """The end of the text before the word."""

    @property
    def found(self) -> Mapping[str, int]:
        """The number of redacted secrets by kind."""
        return self._found

    def whole(self, text: str) -> str:
        """The text with every secret replaced by `[redacted: kind]`. A private key without an end is redacted to the end of the text."""
        return self.piece(text) + self.rest()

    def piece(self, text: str) -> str:
        """The part of the stream so far that can leave now."""
        self._unsorted += text
        return self._without_tokens("".join(self._without_keys()))

    def rest(self) -> str:
        """The text that is still held back when the stream ends."""
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
        if not text.rstrip(_TOKEN_CHARACTERS):  # the word may continue
            self._word += text
            return ""
        text = self._word + text
        ready = len(text.rstrip(_TOKEN_CHARACTERS))
        self._word = text[ready:]
        return "".join(self._redacted_tokens(text[:ready]))

    def _redacted_tokens(self, text: str) -> Iterator[str]:
        text, position = self._before + text, len(self._before)
        for secret in _secrets(text, position):
            yield text[position : secret.start] + self._redacted(secret.kind)
            position = secret.end
        yield text[position:]
        self._before = text[-_CONTEXT:]

    def _redacted(self, kind: str) -> str:
        self._found[kind] += 1
        return f"[redacted: {kind}]"


def _secrets(text: str, begin: int) -> list[_Secret]:
    """The tokens in the text from `begin` on, in order. A token within another, or overlapping it, is one with it."""
    found = list(_bearer_tokens(text, begin))
    if not text.isascii() or any(map(text.__contains__, _BEGINNINGS)):
        found[:0] = [_Secret(*token.span(), token.lastgroup or "token") for token in _TOKEN.finditer(text, begin)]
    if not found:
        return found
    secrets: list[_Secret] = []
    for secret in sorted(found, key=lambda secret: secret.start):  # stable: the more telling kind comes first
        if secrets and secret.start < secrets[-1].end:
            secrets[-1] = secrets[-1]._replace(end=max(secrets[-1].end, secret.end))
        else:
            secrets.append(secret)
    return secrets


def _bearer_tokens(text: str, begin: int) -> Iterator[_Secret]:
    position = 0
    while match := _BEARER.search(text, position):
        start, end = match.span("token")
        if end > begin:
            yield _Secret(max(start, begin), end, "bearer_token")
        position = max(match.start() + 1, end - len("bearer"))  # a token may end in the word that announces the next
