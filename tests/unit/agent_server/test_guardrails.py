"""Secrets are redacted, and the result does not depend on how the answer was split into pieces."""

import itertools
import re
from collections.abc import Sequence
from time import perf_counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent_server.turn.guardrails import Redaction

BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n"
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiJzaW11bGF0ZWQifQ.c2lnbmF0dXJl"
# Assembled at run time, so that secret scanners do not report this repository.
TOKENS = {
    "anthropic_key": "sk-" + "ant-api03-" + "Ab0_" * 20 + "AA",
    "openai_key": "sk-" + "proj-" + "Cd1" * 14,
    "agentmesh_key": "amk" + "_" + "Ef2-" * 10,
    "aws_access_key": "AKIA" + "5IMU1AT3DKEY0X7Q",
    "github_token": "gh" + "p_" + "Gh3" * 12,
    "slack_token": "xox" + "b-2048-" + "Ij4" * 8,
    "google_api_key": "AIza" + "Kl5-_" * 7,
    "json_web_token": JWT,
}


def pem(label: str = "", block: str = "") -> str:
    return f"-----BEGIN {label}PRIVATE KEY{block}-----\n{BODY}-----END {label}PRIVATE KEY{block}-----"


SECRETS = [*TOKENS.values(), pem(), pem("RSA "), pem("OPENSSH ")]


def piecewise(pieces: Sequence[str]) -> tuple[str, dict[str, int]]:
    redaction = Redaction()
    text = "".join(redaction.piece(piece) for piece in pieces) + redaction.rest()
    return text, dict(redaction.found)


def whole(text: str) -> tuple[str, dict[str, int]]:
    redaction = Redaction()
    return redaction.whole(text), dict(redaction.found)


@pytest.mark.parametrize(("kind", "secret"), TOKENS.items(), ids=TOKENS)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("key: ", ".\n"), ('"', '",'), ("你好", "。"), ("(", ")"), ("\n", "\r\n")])
def test_every_kind_of_secret_is_found_at_any_position(kind: str, secret: str, before: str, after: str) -> None:
    assert whole(before + secret + after) == (f"{before}[redacted: {kind}]{after}", {kind: 1})


@pytest.mark.parametrize("word", ["Bearer", "bearer", "Authorization: Bearer"])
def test_a_bearer_token_is_redacted_and_the_word_bearer_stays(word: str) -> None:
    assert whole(f"curl -H '{word} abcdefghijklmnopqrstuvwxyz/+=' x") == (
        f"curl -H '{word} [redacted: bearer_token]' x",
        {"bearer_token": 1},
    )


# fmt: off
BEFORE = {
    "an escaped line end": "\\n", "a doubly escaped line end": "\\\\n", "an escaped tab": "\\t",
    "a JSON escape": "\\u000a", "a hexadecimal escape": "\\x0a",
    "a URL escape": "%0A", "a quoted-printable escape": "=3D", "an equals sign": "KEY=", "an underscore": "KEY_",
    "a zero-width space": "\u200b",
    "a zero-width space behind a letter": "x\u200b", "a word joiner": "\u2060", "a byte-order mark": "\ufeff", "a soft hyphen": "\u00ad",
}
# fmt: on


@pytest.mark.parametrize(("kind", "secret"), TOKENS.items(), ids=TOKENS)
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_every_kind_of_secret_is_found_after_characters_that_resemble_a_word(kind: str, secret: str, before: str) -> None:
    text = f'{{"log": "start{before}{secret}\\nend"}}'
    expected = (f'{{"log": "start{before}[redacted: {kind}]\\nend"}}', {kind: 1})
    assert whole(text) == expected
    for cut in range(len(text) + 1):
        assert piecewise([text[:cut], text[cut:]]) == expected, cut
    assert piecewise(list(text)) == expected


@pytest.mark.parametrize(("kind", "secret"), TOKENS.items(), ids=TOKENS)
def test_a_key_with_invisible_characters_inside_is_redacted(kind: str, secret: str) -> None:
    for hidden in ("\u200b", "\u200d\u2060", "\u00ad"):
        text = f"key: {hidden.join(secret)} end"
        assert whole(text) == (f"key: [redacted: {kind}] end", {kind: 1})
        assert piecewise(list(text)) == whole(text)


# fmt: off
BEARERS = [
    "Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer  ", "Bearer\t ", "Bearer\n", "Bearer: ", 'bearer": "',
    "Bearer\u00a0", "Bearer \u200b",
    "bearer=", "Bearer%20", "Bearer+", "Bearer\\n", "Bearer\\u0020", "Authorization: BEARER   ",
]
# fmt: on


@pytest.mark.parametrize("before", BEARERS)
def test_a_bearer_token_is_found_in_every_spelling_of_bearer(before: str) -> None:
    token = "abcdefghijklmnopqrstuvwxyz/+" + "="
    text = f"curl -H {before}{token} x"
    assert whole(text) == (f"curl -H {before}[redacted: bearer_token] x", {"bearer_token": 1})
    for cut in range(len(text) + 1):
        assert piecewise([text[:cut], text[cut:]]) == whole(text), cut
    assert piecewise(list(text)) == whole(text)


@pytest.mark.parametrize("label", ["", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH "])
def test_a_private_key_is_redacted_with_its_begin_and_end_lines(label: str) -> None:
    assert whole(f"Here:\n{pem(label)}\nDone.") == ("Here:\n[redacted: private_key]\nDone.", {"private_key": 1})


def test_a_pgp_private_key_is_redacted() -> None:
    assert whole(pem("PGP ", " BLOCK")) == ("[redacted: private_key]", {"private_key": 1})


def test_a_private_key_on_one_line_with_escaped_line_ends_is_redacted() -> None:
    assert whole('{"private_key": "' + pem().replace("\n", "\\n") + '"}')[0] == '{"private_key": "[redacted: private_key]"}'


def test_a_private_key_without_an_end_is_redacted_to_the_end_of_the_text() -> None:
    assert whole(f"Here: -----BEGIN PRIVATE KEY-----\n{BODY}") == ("Here: [redacted: private_key]", {"private_key": 1})


def test_several_secrets_are_counted_by_kind() -> None:
    text = " ".join([*TOKENS.values(), TOKENS["aws_access_key"], pem(), pem("RSA ")])
    assert whole(text)[1] == {**dict.fromkeys(TOKENS, 1), "aws_access_key": 2, "private_key": 2}


@pytest.mark.parametrize(
    "text",
    [
        "A task-oriented, ask-anything risk-assessment for desk-bound people",
        "sk-short, amk_short, AKIA1234, xoxb-1, eyJ.eyJ.x",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "- one\n- TWO\n--- THREE\n| --- | --- |\n-----",
        "The bearer of this letter is known to us. Bearer bonds are rare.",
        "C:\\task-oriented-and-ask-anything \\risk-assessment-for-desk-bound-people",
        "नमस्\u200dते, می\u200cخواهم, family: 👩\u200d👩\u200d👧 and soft\u00adhyphens",
        "Hallo Wörld 😀 你好，世界。",
    ],
)
def test_ordinary_text_is_not_changed(text: str) -> None:
    assert whole(text) == (text, {})


@pytest.mark.parametrize("secret", [*SECRETS, f"Bearer {'a1' * 20}", f"Bearer bearer {'a1' * 20}Bearer {'b2' * 20}"])
def test_a_secret_split_at_any_position_is_found(secret: str) -> None:
    text = f"before {secret} after"
    for cut in range(len(text) + 1):
        assert piecewise([text[:cut], text[cut:]]) == whole(text), (text[:cut], text[cut:])
    assert piecewise(list(text)) == whole(text)


# fmt: off
fragments = st.sampled_from([
    *SECRETS, "Bearer ", "bearer ", "Bearer", " ", "\n", "-", "-----", "-----BEGIN ", "-----END ", "RSA ",
    "BEARER  ", "bearer=", "\\n", "\\u000a", "%0A", "=", "\u200b",
    "PRIVATE KEY", "PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "sk-", "ant-", "AKIA",
    "0123456789ABCDEF", "x" * 40, "eyJ", ".", "你", "é", "_",
])
# fmt: on
texts = st.lists(fragments | st.text(max_size=12), max_size=12).map("".join)


@pytest.mark.slow
@settings(max_examples=400)
@given(text=texts, data=st.data())
@example(text="x -----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- y", data=None)
@example(text=TOKENS["anthropic_key"] + "Bearer x", data=None)
def test_the_output_does_not_depend_on_how_the_answer_is_split(text: str, data: st.DataObject | None) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20))) if data else list(range(len(text)))
    edges = [0, *cuts, len(text)]
    assert piecewise([text[a:b] for a, b in itertools.pairwise(edges)]) == whole(text)


@given(
    secrets=st.lists(st.sampled_from(SECRETS), min_size=1, max_size=4),
    prose=st.text(st.characters(codec="utf-8", categories=("L", "P", "Z")), min_size=1, max_size=10),
    size=st.integers(1, 90),
)
def test_no_secret_leaks_in_pieces_of_any_size(secrets: list[str], prose: str, size: int) -> None:
    text = f" {prose} ".join(["", *secrets, ""])
    out, _ = piecewise([text[i : i + size] for i in range(0, len(text), size)])
    for secret in secrets:
        assert secret not in out
    assert BODY.splitlines()[0] not in out


def test_ordinary_words_are_sent_at_once_except_the_last() -> None:
    redaction = Redaction()
    assert redaction.piece("Plan the migra") == "Plan the "
    assert redaction.piece("tion, now") == "migration, "
    assert redaction.rest() == "now"


def test_scripts_without_spaces_are_not_held_back() -> None:
    assert Redaction().piece("我们从这里开始。") == "我们从这里开始。"


def test_a_private_key_is_reported_when_it_begins() -> None:
    redaction = Redaction()
    assert redaction.piece(f"Key: -----BEGIN PRIVATE KEY-----\n{BODY}") == "Key: [redacted: private_key]"
    assert redaction.piece(f"{BODY}-----END PRIVATE KEY----- so") == " "


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a" * 200_000,
            "-eyJ" * 50_000,
            "-----BEGIN " * 20_000,
            "- " * 100_000,
            "Bearer " * 30_000,
            "-----BEGIN A" * 20_000,
        ),
        *("-" * 200_000, "\u200b" * 100_000, "s\u200b" * 50_000, "bearer" + " " * 200_000, "\\n" * 100_000, "sk- " * 50_000),
    ],
    ids=[
        "a word",
        "headers",
        "markers",
        "dashes",
        "bearers",
        "half markers",
        "a rule",
        "hidden",
        "hidden s",
        "gap",
        "escapes",
        "beginnings",
    ],
)
@pytest.mark.slow
@pytest.mark.parametrize("size", [25, 10**9])
def test_text_made_to_slow_the_patterns_is_scanned_fast(text: str, size: int) -> None:
    began = perf_counter()
    assert piecewise([text[i : i + size] for i in range(0, len(text), size)])[0] == text
    assert perf_counter() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize("text", ["bearer=" * 30_000, "AKIA" * 50_000, "sk-ant-" * 30_000, "eyJaaaaaaaa." * 15_000])
@pytest.mark.parametrize("size", [25, 10**9])
def test_many_beginnings_of_secrets_are_scanned_fast(text: str, size: int) -> None:
    began = perf_counter()
    assert piecewise([text[i : i + size] for i in range(0, len(text), size)]) == whole(text)
    assert perf_counter() - began < 5


def test_a_redaction_never_resembles_a_secret() -> None:
    assert re.fullmatch(r"\[redacted: [a-z_]+\]", whole(pem())[0])
    assert whole(whole(" ".join(SECRETS))[0])[1] == {}
