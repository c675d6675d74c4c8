"""Parses text into plain data: JSON, and a strict subset of YAML 1.2.

PyYAML reads YAML 1.1, where `no` is false, `1:30` is 90 and `2026-11-01` is a date object, and where the last of two equal keys wins
without a warning. Here, its C parser only provides the events. The values are those of the JSON schema of YAML 1.2: text, integers,
decimal numbers, true, false and null (also written `~` or nothing). Keys are always text. Anchors, aliases and tags are refused: the
shared keys of a family replace them, and nested aliases are a known way to exhaust memory.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import yaml

MAX_DEPTH = 50

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_HINTS = {
    "mapping values are not allowed": "quote a text that contains ': ', or write it as a block after |",
    "cannot start any token": "indent with spaces, not tabs, and quote a text that begins with a special character",
    "could not find expected ':'": "write a colon and a space after a key; write a text of several lines indented after |",
    "while scanning a quoted scalar": "close the quote",
    "did not find expected key": "indent all keys of a mapping by the same amount",
    "did not find expected '-' indicator": "indent all items of a list by the same amount",
    "control characters are not allowed": "remove the invisible control character",
}
_GENERAL_HINT = "check the indentation, quotes and brackets around it"


class Unparsable(Exception):
    """The text cannot be parsed. The message says where, why, and how to fix it."""


def parse_yaml(text: str) -> Any:
    """The one document in the text. Raises Unparsable."""
    try:
        return _document(iter(yaml.CSafeLoader(text).get_event, None))  # yaml.parse gives the same events and takes twice as long
    except yaml.MarkedYAMLError as broken:
        raise Unparsable(_explain(broken)) from None
    except yaml.reader.ReaderError as broken:
        _refuse(text.count("\n", 0, broken.position) + 1, f"{broken.reason}; {_hint(broken.reason)}")


def parse_json(text: str) -> Any:
    """The document. Raises Unparsable, also for repeated keys, NaN, and text that UTF-8 cannot encode."""
    try:
        document = json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_number, parse_float=_float)
        _check(document, 0)
    except json.JSONDecodeError as broken:
        _refuse(broken.lineno, f"{broken.msg} at column {broken.colno}; correct the JSON there")
    except RecursionError:
        raise Unparsable(_too_deep()) from None
    except ValueError as broken:
        raise Unparsable(str(broken)) from None
    return document


class Lines:
    """Finds the lines of values in a text that can be parsed."""

    def __init__(self, text: str) -> None:
        self._root: yaml.Node | None = None
        with suppress(yaml.YAMLError):  # JSON that is not valid YAML (an escaped surrogate pair) has no line numbers
            self._root = yaml.compose(text, yaml.CSafeLoader)

    def of(self, path: Sequence[str | int]) -> int | None:
        """The line, from 1, of the value at `path`, or of the nearest parent that exists; None if it is unknown."""
        node = self._root
        line = None if node is None else node.start_mark.line + 1
        for step in path:
            node, mark = _member(node, step)
            if node is None:
                break
            line = mark.line + 1
        return line


def _member(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node | None, Any]:
    """The value of a key or at an index, and its position. The position of a key's value is that of the key."""
    if isinstance(node, yaml.MappingNode):
        return next(((value, key.start_mark) for key, value in node.value if key.value == step), (None, None))
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark
    return None, None


def _document(events: Iterator[yaml.Event]) -> Any:
    document = None
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                _refuse(_line(event), "a second document begins here; move it to its own file")
            document = _value(next(events), events, 0)
    return document


def _value(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
    if type(event) is yaml.ScalarEvent:  # no event has a subclass, and isinstance is slower
        return _scalar(event)
    if not isinstance(event, yaml.CollectionStartEvent) or event.anchor is not None:
        _refuse(_line(event), "anchors (&) and aliases (*) are not supported; repeat the value, or move it to the family")
    if event.tag is not None:
        _refuse(_line(event), f"tags ({event.tag}) are not supported; remove it")
    if depth == MAX_DEPTH:
        _refuse(_line(event), _too_deep())
    return _mapping(events, depth + 1) if type(event) is yaml.MappingStartEvent else _sequence(events, depth + 1)


def _sequence(events: Iterator[yaml.Event], depth: int) -> list[Any]:
    items = []
    while type(event := next(events)) is not yaml.SequenceEndEvent:
        items.append(_value(event, events, depth))
    return items


def _mapping(events: Iterator[yaml.Event], depth: int) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    while type(key := next(events)) is not yaml.MappingEndEvent:
        if type(key) is not yaml.ScalarEvent:
            _refuse(_line(key), "a key must be text, not a list or a mapping; quote a text that begins with {{")
        if key.value in mapping:
            _refuse(_line(key), f"the key '{key.value}' is repeated; keep one")
        mapping[key.value] = _value(next(events), events, depth)
    return mapping


def _scalar(event: yaml.ScalarEvent) -> Any:
    if event.anchor is not None:
        _refuse(_line(event), "anchors (&) are not supported; remove it, or quote a text that begins with &")
    if event.tag is not None:
        _refuse(_line(event), f"tags ({event.tag}) are not supported; remove it, or quote a text that begins with !")
    text: str = event.value
    if event.implicit[0]:
        return _plain(text)
    if "\0" in text:
        _refuse(_line(event), "a text contains the character U+0000, which a database cannot store; remove it")
    return text


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return text


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{twice}' is repeated; keep one")
    return mapping


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a valid JSON number; write a finite number")


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(_too_deep())
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("a text contains \\u0000 or half of a surrogate pair, which cannot be stored; remove it")
    elif isinstance(value, dict):
        for key, member in value.items():
            _check(key, depth + 1)
            _check(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            _check(member, depth + 1)


def _explain(broken: yaml.MarkedYAMLError) -> str:
    mark = broken.problem_mark or broken.context_mark
    what = ", ".join(part for part in (broken.context, broken.problem) if part)
    where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return f"{where}{what}; {_hint(what)}"


def _hint(what: str) -> str:
    return next((hint for words, hint in _HINTS.items() if words in what), _GENERAL_HINT)


def _too_deep() -> str:
    return f"nested deeper than {MAX_DEPTH} levels; use fewer levels"


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else int(event.start_mark.line) + 1


def _refuse(line: int, message: str) -> NoReturn:
    raise Unparsable(f"line {line}: {message}")
