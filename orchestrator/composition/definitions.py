"""Keeps a process's catalogue up to date."""

import asyncio

import structlog

from catalogue.catalogue import Catalogue
from catalogue.report import log_problems
from catalogue.watch import watch
from orchestrator.composition.settings import SharedSettings
from orchestrator.registry.service import RegistryService

log = structlog.get_logger()


async def follow(registry: RegistryService, settings: SharedSettings, catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Passes each new catalogue to the registry, until `stop` is set."""
    async for changed in watch(settings.definitions_path, catalogue, stop):
        log_problems(changed)
        registry.renew(changed)
        log.info("definitions_reloaded", agents=len(changed))
