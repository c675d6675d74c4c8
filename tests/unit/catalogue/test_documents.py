import json
import math
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from catalogue.files.documents import MAX_DEPTH, Lines, Unparsable, parse_json, parse_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("2026-11-01", "2026-11-01"), ("1:30", "1:30"), ("0x1F", "0x1F"), ("1_000", "1_000"),
        ("true", True), ("false", False), ("null", None), ("~", None), ("7", 7), ("-7", -7), ("2.50", 2.5), ("1e3", 1000.0),
        (".5", 0.5), ("'7'", "7"), ('"true"', "true"), (".inf", ".inf"), ("1e999", "1e999"), ("-", [None]), ("9" * 30, "9" * 30),
        ("1.2.3", "1.2.3"), ("+", "+"),
    ],
)  # fmt: skip
def test_a_plain_value_follows_yaml_1_2(text: str, value: object) -> None:
    """Not YAML 1.1: a country code such as `no` is text, and so is a date."""
    parsed = parse_yaml(f"key: {text}" if text != "-" else "key:\n-")["key"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_keys_are_text() -> None:
    """Also keys that look like numbers or booleans."""
    assert parse_yaml("1: a\ntrue: b\nno: c") == {"1": "a", "true": "b", "no": "c"}


@given(VALUES)
def test_generated_yaml_is_read_back_unchanged(value: Any) -> None:
    """Written and quoted by PyYAML, read by the rules of YAML 1.2."""
    text = yaml.dump({"key": value}, Dumper=_Writer)
    assert parse_yaml(text) == {"key": value}


@given(VALUES)
def test_generated_json_is_read_back_unchanged(value: Any) -> None:
    """With and without escapes."""
    assert parse_json(json.dumps({"key": value})) == {"key": value}
    assert parse_json(json.dumps({"key": value}, ensure_ascii=False)) == {"key": value}


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_or_refused_as_unparsable(text: str) -> None:
    """No other exception may escape: a folder may hold anything."""
    for parse in (parse_yaml, parse_json):
        with suppress(Unparsable):
            parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", ["line 3", "'a' is repeated; keep one"]),
        ("a: {x: 1, x: 2}", ["line 1", "'x' is repeated; keep one"]),
        ("a: 1\n---\nb: 2", ["line 2", "second document"]),
        ("a: &x 1\nb: *x", ["line 1", "anchors"]),
        ("a: &x [1]\nb: *x", ["line 1", "anchors"]),
        ("a: *x", ["line 1", "aliases"]),
        ("a: !!python/object:os.system x", ["line 1", "tags"]),
        ("a: !!set {x}", ["line 1", "tags"]),
        ("\n[1, 2]: x", ["line 2", "key must be text"]),
        ("prompt: {{title}}", ["line 1", "quote a text"]),
        ("a: one: two", ["line 1", "quote a text"]),
        ("a:\n\t- x", ["line 2", "spaces, not tabs"]),
        ("a: 'open", ["close the quote"]),
        ("a:\n  b: 1\n c: 2", ["line 3"]),
        ("a: \x07", ["line 1", "control characters"]),
        ('a: "\\0"', ["line 1", "U+0000"]),
        ("a: " + "[" * 60 + "]" * 60, ["line 1", f"deeper than {MAX_DEPTH}"]),
        ("a: " + "[" * 200_000, ["deeper than"]),
    ],
)
def test_invalid_yaml_is_refused_with_its_line_and_a_remedy(text: str, words: list[str]) -> None:
    """The author sees nothing but this message."""
    with pytest.raises(Unparsable) as refused:
        parse_yaml(text)
    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,\n}', ["line", "column"]),
        ('{"a": 1, "a": 2}', ["'a' is repeated; keep one"]),
        ('{"a": NaN}', ["NaN", "finite"]),
        ('{"a": 1e999}', ["1e999", "finite"]),
        ('{"a": "\\ud800"}', ["surrogate"]),
        ('{"a": "\\u0000"}', ["u0000"]),
        ('{"\\u0000": 1}', ["u0000"]),
        ("[" * 100_000, ["deeper than"]),
        ("[" * 60 + "]" * 60, ["deeper than"]),
        ('{"a": ' + "9" * 5000 + "}", ["4300"]),
        ("", ["line 1"]),
    ],
)
def test_invalid_json_is_refused_with_its_line(text: str, words: list[str]) -> None:
    """Also what Python's parser would accept: duplicate keys, NaN, unpaired surrogates."""
    with pytest.raises(Unparsable) as refused:
        parse_json(text)
    assert [word for word in words if word not in str(refused.value)] == []


def test_the_line_of_a_path_is_that_of_its_key_or_of_its_nearest_parent() -> None:
    """A missing key has no line, but its parent has one."""
    lines = Lines("a: 1\nagents:\n  - name: x\n    tags: [t]\n  - name: y\n")
    assert lines.of(["agents", 1, "name"]) == 5
    assert lines.of(["agents", 0, "tags", 0]) == 4
    assert lines.of(["agents", 0, "focus"]) == 3
    assert lines.of([]) == 1
    assert Lines("").of(["a"]) is None


def test_floats_stay_finite() -> None:
    """JSON, the database and protobuf's Struct have no infinity."""
    assert math.isfinite(parse_yaml("a: 1e308")["a"])


class _Writer(yaml.SafeDumper):
    """Quotes every text: PyYAML omits quotes by the rules of YAML 1.1, where `0E0` is a text."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Writer.add_representer(str, lambda writer, text: writer.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
