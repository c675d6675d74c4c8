"""Chooses the model that answers for a definition."""

import structlog

from catalogue.model import AgentDefinition
from catalogue.pricing.prices import PriceBook

log = structlog.get_logger()


class ModelNames:
    """Uses the model that a definition names, otherwise the default. A retired model is replaced by its successor."""

    def __init__(self, prices: PriceBook, default: str) -> None:
        self._prices = prices
        self._default = default
        self._logged: set[str] = set()

    def of(self, definition: AgentDefinition) -> str:
        """The name of the model. The first use of a retired model is logged."""
        wanted = definition.model or self._default
        model = self._prices.successor(wanted)
        if model != wanted and wanted not in self._logged:
            self._logged.add(wanted)
            log.warning("model_retired", model=wanted, successor=model)
        return model
