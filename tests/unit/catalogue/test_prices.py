"""The cost of calls, compared with figures worked out by hand."""

from datetime import date
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.errors import DefinitionsUnreadable
from catalogue.pricing.prices import PriceBook, PriceTable

BOOK = PriceBook.load()
TABLE = BOOK.table(date(2026, 11, 22))
TOKENS = st.integers(0, 2**31 - 1)
MODELS = sorted(TABLE.prices)


@pytest.mark.parametrize(
    ("model", "tokens", "cost"),
    [
        # 1,000 × 2 + 500 × 10 = 7,000 millionths of a dollar
        ("claude-sonnet-5-5", (1000, 500), 7000),
        # 1,000 × 2 + 500 × 10 + 20,000 × 0.10 + 4,000 × 2.50
        ("claude-sonnet-5-5", (1000, 500, 20_000, 4000), 19_000),
        # 1,000 × 0.10 + 500 × 0.50
        ("claude-haiku-5-5", (1000, 500), 350),
        # 1 × 0.10 + 1 × 0.50 + 1 × 0.01 + 1 × 0.125 = 0.735, rounded up
        ("claude-haiku-5-5", (1, 1, 1, 1), 1),
        # 3 × 0.10 + 7 × 0.50 + 9 × 0.01 + 8 × 0.125 = 4.89
        ("claude-haiku-5-5", (3, 7, 9, 8), 5),
        # 10 × 0.10 is a whole number and is not rounded
        ("claude-haiku-5-5", (10, 0), 1),
        # 1,000,000 × 4 + 1,000,000 × 20 + 1,000,000 × 0.20 + 1,000,000 × 5
        ("claude-opus-5-5", (10**6, 10**6, 10**6, 10**6), 29_200_000),
        # 200 × 5 + 100 × 25 + 10 × 0.50 + 10 × 6.25 = 3,567.5
        ("claude-opus-5", (200, 100, 10, 10), 3568),
        # 200 × 1 + 100 × 5 + 3 × 0.10 = 700.3
        ("claude-haiku-4-5", (200, 100, 3), 701),
        ("claude-sonnet-5-5", (0, 0), 0),
    ],
)
def test_a_call_costs_its_list_price_rounded_up(model: str, tokens: tuple[int, ...], cost: int) -> None:
    """USD per million tokens are micro-dollars per token."""
    assert TABLE.cost_micro_usd(model, *tokens) == cost


@given(st.sampled_from(MODELS), TOKENS, TOKENS, TOKENS, TOKENS)
def test_a_cost_is_exact(model: str, inputs: int, outputs: int, reads: int, writes: int) -> None:
    """Compared with decimal arithmetic; floats would differ at this size."""
    price = TABLE.prices[model]
    parts = [(inputs, price.input), (outputs, price.output), (reads, price.cache_read), (writes, price.cache_write_5m)]
    exact = sum((tokens * Decimal(each) / 10**6 for tokens, each in parts), Decimal(0))
    assert TABLE.cost_micro_usd(model, inputs, outputs, reads, writes) == int(exact.to_integral_value(ROUND_CEILING))


@given(st.text(max_size=30).filter(lambda model: not TABLE.knows(model)), TOKENS, TOKENS, TOKENS, TOKENS)
def test_an_unknown_model_never_costs_less_than_a_known_one(model: str, inputs: int, outputs: int, reads: int, writes: int) -> None:
    """The books must never understate a cost."""
    known = max(TABLE.cost_micro_usd(name, inputs, outputs, reads, writes) for name in MODELS)
    assert TABLE.cost_micro_usd(model, inputs, outputs, reads, writes) >= known


def test_a_dated_name_has_the_price_of_its_model() -> None:
    """`claude-opus-5` is not taken for a prefix of `claude-opus-5-5` or of an unknown model."""
    assert TABLE.cost_micro_usd("claude-haiku-4-5-20251001", 1000, 0) == 1000
    assert TABLE.cost_micro_usd("claude-opus-5-5-20260901", 1000, 0) == 4000
    assert TABLE.cost_micro_usd("claude-opus-5-20260101", 1000, 0) == 5000
    assert TABLE.knows("claude-haiku-4-5-latest")
    assert not TABLE.knows("claude-haiku-4-5-7")


def test_negative_tokens_are_refused() -> None:
    """They would reduce the cost."""
    with pytest.raises(ValueError, match="negative"):
        TABLE.cost_micro_usd("claude-sonnet-5-5", 1, -1)


def test_the_price_table_of_a_day_is_the_latest_one_in_force(tmp_path: Path) -> None:
    """Days before the first table use the first table."""
    row = "{input: '%s', output: '1', cache_write_5m: '1', cache_write_1h: '1', cache_read: '1'}"
    path = tmp_path / "models.yaml"
    path.write_text(
        f"tables:\n  - effective: '2027-01-01'\n    models: {{m: {row % 3}}}\n"
        f"  - effective: '2026-01-01'\n    models: {{m: {row % 2}}}\nsuccessors: {{}}\n"
    )
    book = PriceBook.load(path)

    def at(*day: int) -> tuple[str, int]:
        table = book.table(date(*day))
        return table.version, table.cost_micro_usd("m", 1, 0)

    assert at(2025, 12, 31) == ("2026-01-01", 2)
    assert at(2026, 12, 31) == ("2026-01-01", 2)
    assert at(2027, 1, 1) == ("2027-01-01", 3)
    assert at(2030, 1, 1) == ("2027-01-01", 3)


def test_shipped_prices_are_those_published() -> None:
    """Input, output, cache write for 5 minutes and for 1 hour, cache read; USD per million tokens, as of 2026-11."""
    published = {
        "claude-sonnet-5-5": ("2", "10", "2.50", "4", "0.10"),
        "claude-haiku-5-5": ("0.10", "0.50", "0.125", "0.20", "0.01"),
        "claude-opus-5-5": ("4", "20", "5", "8", "0.20"),
        "claude-opus-5": ("5", "25", "6.25", "10", "0.50"),
        "claude-haiku-4-5": ("1", "5", "1.25", "2", "0.10"),
    }
    shipped = {
        model: (price.input, price.output, price.cache_write_5m, price.cache_write_1h, price.cache_read)
        for model, price in TABLE.prices.items()
    }
    assert shipped == {model: tuple(int(Decimal(figure) * 10**6) for figure in row) for model, row in published.items()}
    assert TABLE.version == "2026-11-01"


def test_a_retired_model_has_a_successor_with_a_price() -> None:
    """The successor is not retired itself."""
    assert BOOK.successor("claude-3-5-sonnet-20241022") == "claude-sonnet-5-5"
    assert BOOK.successor("claude-3-haiku-20240307") == "claude-haiku-5-5"
    assert BOOK.successor("claude-3-opus-20240229") == "claude-opus-5-5"
    assert BOOK.successor("claude-sonnet-5-5") == "claude-sonnet-5-5"
    assert BOOK.successor("never-heard-of") == "never-heard-of"
    for successor in BOOK.successors.values():
        assert TABLE.knows(successor)
        assert BOOK.successor(successor) == successor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tables: [",
        "tables: []\nsuccessors: {}",
        "successors: {}",
        "tables: [{effective: '2026-01-01', models: {}}]\nsuccessors: {}",
        "tables: [{effective: soon, models: {m: {input: '1'}}}]\nsuccessors: {}",
        "tables: [{effective: '2026-01-01', models: {m: {input: '1'}}}]\nsuccessors: {}",
        *(
            f"tables: [{{effective: '2026-01-01', models: {{m: {{input: {price}, output: '1', cache_write_5m: '1', cache_write_1h: '1', "
            "cache_read: '1'}}}]\nsuccessors: {}"
            for price in ("0.1", "'-1'", "'x'", "'0.0000001'", "'NaN'", "'Infinity'")
        ),
    ],
)
def test_an_invalid_price_file_is_refused_with_its_cause(text: str, tmp_path: Path) -> None:
    """Prices must be quoted: unquoted ones could be inexact floats."""
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(DefinitionsUnreadable, match=r"models\.yaml"):
        PriceBook.load(path)
    with pytest.raises(DefinitionsUnreadable, match="cannot be read"):
        PriceBook.load(tmp_path / "nothing.yaml")


def test_a_table_can_be_built_without_a_file() -> None:
    """Its version is its day."""
    assert PriceTable(date(2026, 1, 2), TABLE.prices).version == "2026-01-02"
