import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.model import calculate_port, fill, placeholders, revision_of

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
PLAIN = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]))
VALUES = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(VALUES, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("number", "offset", "port"),
    [(0, 0, 8200), (1, 0, 8201), (799, 0, 8999), (800, 0, 8200), (801, 0, 8201), (1500, 0, 8900), (1500, 20000, 28900)],
)
def test_a_port_is_derived_from_the_number_and_the_offset(number: int, offset: int, port: int) -> None:
    """The port is 8200 + number % 800, plus PORT_OFFSET."""
    assert calculate_port(number, offset) == port


@given(st.integers(0, 2**31 - 1))
def test_every_port_is_in_the_range_of_the_agents(number: int) -> None:
    """Ports 8200 to 8999 never collide with those of the platform's other processes."""
    assert 8200 <= calculate_port(number) <= 8999


@given(st.lists(st.tuples(PLAIN, NAMES)), PLAIN, st.data())
def test_rendering_replaces_only_placeholders(pieces: list[tuple[str, str]], end: str, data: st.DataObject) -> None:
    """Also for values that contain braces, backslashes or group references."""
    values = {name: data.draw(VALUES) for _, name in pieces}
    text = "".join(f"{plain}{{{{{name}}}}}" for plain, name in pieces) + end
    assert fill(text, values) == "".join(plain + values[name] for plain, name in pieces) + end
    assert placeholders(text) == values.keys()


def test_a_value_is_not_rendered_again() -> None:
    """A prompt can therefore show braces: put them in the value of a parameter."""
    assert fill("Write {{tag}}!", {"tag": "{{first_name}}"}) == "Write {{first_name}}!"


def test_spaces_inside_the_braces_are_ignored() -> None:
    assert fill("{{ title }} and {{title}}", {"title": "x"}) == "x and x"


@pytest.mark.parametrize("text", ["{{ .Values.image }}", "{{#if x}}", "{{}}", "{title}", "{{ two words }}", "{{1st}}"])
def test_other_text_in_braces_is_not_changed(text: str) -> None:
    """A prompt may contain the templates of other tools."""
    assert placeholders(text) == frozenset()
    assert fill(text, {}) == text


@given(st.dictionaries(VALUES, JSON, max_size=6), st.randoms())
def test_a_revision_does_not_depend_on_the_order_of_keys(content: dict[str, object], dice: object) -> None:
    keys = list(content)
    dice.shuffle(keys)  # type: ignore[attr-defined]
    assert revision_of({key: content[key] for key in keys}) == revision_of(content)


@given(st.dictionaries(VALUES, JSON, max_size=6), VALUES)
def test_a_revision_has_twelve_hex_digits_and_changes_with_the_content(content: dict[str, object], key: str) -> None:
    """It identifies one version of a definition in the books."""
    revision = revision_of(content)
    assert len(revision) == 12
    assert set(revision) <= set(string.hexdigits.lower())
    assert revision != revision_of(content | {key: [content.get(key)]})
