"""List prices of models and the successors of retired models: `models.yaml` as an object.

All arithmetic uses integers. One US dollar per million tokens is one micro-dollar per token, stored in millionths.
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
    """The list prices that are valid from a date on."""

    effective: date
    prices: Mapping[str, Price]

    @property
    def version(self) -> str:
        """The effective date in ISO 8601. The books record it with each cost."""
        return self.effective.isoformat()

    def knows(self, model: str) -> bool:
        """Whether the table has a price for the model, or for the model that this is a dated snapshot of."""
        return model in self.prices or _SNAPSHOT.sub("", model) in self.prices

    def cost_micro_usd(
        self, model: str, input_tokens: int, output_tokens: int, cache_read_tokens: int = 0, cache_write_tokens: int = 0
    ) -> int:
        """The list price of one call, rounded up to a whole micro-dollar.

        Cache writes have the price of a five-minute cache. A dated name (`claude-haiku-4-5-20251001`) has the price of its model. An
        unknown model has the highest price: the books may overstate a cost, but never understate it. Raises ValueError for a negative
        number of tokens.
        """
        counts = (input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)
        if min(counts) < 0:
            raise ValueError(f"numbers of tokens must not be negative: {counts}")
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
    """All price tables, past and present, and the successors of retired models."""

    tables: tuple[PriceTable, ...]
    """Ordered by effective date; never empty."""
    successors: Mapping[str, str]

    @classmethod
    def load(cls, path: Path = MODELS) -> "PriceBook":
        """Reads a file like `models.yaml`. Raises DefinitionsUnreadable."""
        try:
            content = parse_yaml(path.read_text(encoding="utf-8"))
            tables = sorted((_table(table) for table in content["tables"]), key=lambda table: table.effective)
            successors = {str(retired): str(model) for retired, model in content["successors"].items()}
        except (OSError, Unparsable) as error:
            raise DefinitionsUnreadable(f"The prices in '{path}' cannot be read: {error}; correct the file") from error
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            advice = "compare it with definitions/models.yaml"
            raise DefinitionsUnreadable(f"The prices in '{path}' do not have the expected form ({error!r}); {advice}") from error
        if not tables:
            raise DefinitionsUnreadable(f"'{path}' has no price table; add one under tables")
        return cls(tuple(tables), successors)

    def table(self, on: date) -> PriceTable:
        """The table that is valid on this date. Before the first table, it is the first."""
        in_force = [table for table in self.tables if table.effective <= on]
        return in_force[-1] if in_force else self.tables[0]

    def successor(self, model: str) -> str:
        """The successor of a retired model; the model itself if it is not retired."""
        return self.successors.get(model, model)


def _table(content: Mapping[str, Any]) -> PriceTable:
    prices = {model: Price(**{name: _exact(price) for name, price in row.items()}) for model, row in content["models"].items()}
    if not prices:
        raise ValueError(f"the table of {content['effective']} has no models")
    return PriceTable(date.fromisoformat(content["effective"]), prices)


def _exact(price: Any) -> int:
    """A price in millionths. Raises ValueError unless it is a quoted decimal with at most six places."""
    if not isinstance(price, str):
        raise ValueError(f"the price {price} must be quoted")
    exact = Decimal(price) * _FRACTION
    if not exact.is_finite() or exact < 0 or exact != exact.to_integral_value():
        raise ValueError(f"the price {price} must be a decimal with at most six places")
    return int(exact)
