"""Which model answers for a definition."""

import structlog

from catalogue.model import AgentDefinition
from catalogue.pricing.prices import PriceBook

log = structlog.get_logger()


class ModelNames:
    """The model that a definition names, or else the default; a retired model's successor in its place."""

    def __init__(self, prices: PriceBook, default: str) -> None:
        self._prices = prices
        self._default = default
        self._said: set[str] = set()

    def of(self, definition: AgentDefinition) -> str:
        """The model's name; a retired one is logged once."""
        wanted = definition.model or self._default
        model = self._prices.successor(wanted)
        if model != wanted and wanted not in self._said:
            self._said.add(wanted)
            log.warning("model_retired", model=wanted, successor=model)
        return model
