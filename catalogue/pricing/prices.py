"""What calls cost, by list price, and which model answers for a retired one: `models.yaml` as an object.

All arithmetic is done in whole numbers: a US dollar per million tokens is a micro-dollar per token, kept in millionths.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from catalogue.errors import DefinitionsUnreadable
from catalogue.files.documents import Unparsable, parse_yaml

MODELS = Path(__file__).resolve().parents[2] / "definitions" / "models.yaml"

_FRACTION = 10**6
_SNAPSHOT = re.compile(r"-(?:[0-9]{8}|latest)$")


@dataclass(frozen=True, slots=True)
class Price:
    """List prices in millionths of a micro-dollar per token."""

    input: int
    output: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The list prices that hold from a day on."""

    effective: date
    prices: Mapping[str, Price]

    @property
    def version(self) -> str:
        """The day from which the table holds, ISO 8601: what the books name beside each cost."""
        return self.effective.isoformat()

    def knows(self, model: str) -> bool:
        """Whether the table has a price for the model, or for the model of which it is a dated snapshot."""
        return model in self.prices or _SNAPSHOT.sub("", model) in self.prices

    def cost_micro_usd(
        self, model: str, input_tokens: int, output_tokens: int, cache_read_tokens: int = 0, cache_write_tokens: int = 0
    ) -> int:
        """The list price of one call, rounded up to a whole micro-dollar.

        Cache writes cost what a five-minute cache does. A dated name (`claude-haiku-4-5-20251001`) costs what its model does. A model
        that the table does not know costs as much as the dearest: the books may overstate a cost, and never understate one. Raises
        ValueError when a number of tokens is negative.
        """
        if min(input_tokens, output_tokens, cache_read_tokens, cache_write_tokens) < 0:
            raise ValueError("a number of tokens cannot be negative")
        price = self._price(model)
        cost = (
            input_tokens * price.input
            + output_tokens * price.output
            + cache_read_tokens * price.cache_read
            + cache_write_tokens * price.cache_write_5m
        )
        return -(-cost // _FRACTION)

    def _price(self, model: str) -> Price:
        return self.prices.get(model) or self.prices.get(_SNAPSHOT.sub("", model)) or self._dearest()

    def _dearest(self) -> Price:
        return Price(*(max(getattr(price, field.name) for price in self.prices.values()) for field in fields(Price)))


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Every price table there has been, and the successors of retired models."""

    tables: tuple[PriceTable, ...]
    """By effective date; never empty."""
    successors: Mapping[str, str]

    @classmethod
    def load(cls, path: Path = MODELS) -> "PriceBook":
        """Reads a file like `models.yaml`. Raises DefinitionsUnreadable."""
        try:
            content = parse_yaml(path.read_text(encoding="utf-8"))
            tables = sorted((_table(table) for table in content["tables"]), key=lambda table: table.effective)
            successors = {str(retired): str(model) for retired, model in content["successors"].items()}
        except (OSError, Unparsable) as error:
            raise DefinitionsUnreadable(f"The prices in '{path}' cannot be read: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            advice = "write it like the models.yaml that is shipped with definitions"
            raise DefinitionsUnreadable(f"The prices in '{path}' are not of the form expected ({error!r}); {advice}") from error
        if not tables:
            raise DefinitionsUnreadable(f"'{path}' has no price table; write one under tables")
        return cls(tuple(tables), successors)

    def table(self, on: date) -> PriceTable:
        """The table that holds on that day; for days before the first table, the first."""
        in_force = [table for table in self.tables if table.effective <= on]
        return in_force[-1] if in_force else self.tables[0]

    def successor(self, model: str) -> str:
        """The model that answers in place of a retired one; the model itself when it is not retired."""
        return self.successors.get(model, model)


def _table(content: Mapping[str, Any]) -> PriceTable:
    prices = {model: Price(**{name: _exact(price) for name, price in row.items()}) for model, row in content["models"].items()}
    if not prices:
        raise ValueError("a table without models")
    return PriceTable(date.fromisoformat(content["effective"]), prices)


def _exact(price: Any) -> int:
    """A price as written, in millionths. Raises ValueError for one that is not a decimal in quotes of at most six places."""
    if not isinstance(price, str):
        raise ValueError(f"the price {price} is not in quotes")
    exact = Decimal(price) * _FRACTION
    if not exact.is_finite() or exact < 0 or exact != exact.to_integral_value():
        raise ValueError(f"the price {price} is no amount of at most six decimal places")
    return int(exact)
