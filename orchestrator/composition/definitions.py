"""Keeps the catalogue of a process up to date."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from catalogue.catalogue import Catalogue
from catalogue.files.cache import DocumentCache
from catalogue.model import AgentDefinition
from catalogue.report import log_problems
from catalogue.watch import watch
from orchestrator.composition.settings import SharedSettings
from orchestrator.registry.ports import SearchIndex
from orchestrator.registry.service import RegistryService

log = structlog.get_logger()


async def follow(
    registry: RegistryService,
    settings: SharedSettings,
    catalogue: Catalogue,
    stop: asyncio.Event,
    build_index: Callable[[Sequence[AgentDefinition]], SearchIndex] | None = None,
) -> None:
    """Passes each new catalogue to the registry, until `stop` is set; `build_index` runs in a thread."""
    async for changed in watch(settings.definitions_path, catalogue, stop, DocumentCache.at(settings.definitions_cache)):
        log_problems(changed)
        registry.renew(changed, await asyncio.to_thread(build_index, changed.agents) if build_index else None)
        log.info("definitions_reloaded", agents=len(changed))
