"""Wires users, sessions and API keys."""

from contextlib import AsyncExitStack

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.rpc.peer import Peers
from mesh.security.tokens import AccessTokens
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.identity.passwords import BcryptPasswords
from orchestrator.adapters.identity.revocations import RedisRevocations
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.adapters.identity.upkeep import IdentityUpkeep
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.identity.api_keys import ApiKeyService
from orchestrator.identity.authentication import Authenticator
from orchestrator.identity.service import IdentityService
from orchestrator.identity.servicer import IdentityServicer
from orchestrator.identity.sessions import SessionTokens


def build_identity(
    settings: OrchestratorSettings, stack: AsyncExitStack, tasks: BackgroundTasks, engine: AsyncEngine, redis: Redis
) -> tuple[Authenticator, RedisRevocations, IdentityServicer]:
    """Builds what knows callers, and the service that shows it."""
    access = AccessTokens(settings.jwt_secrets, settings.jwt_expiry_minutes * 60)
    store = PostgresIdentityStore(engine, settings.refresh_expiry_days)
    passwords = stack.enter_context(BcryptPasswords(settings.bcrypt_rounds))
    revocations = RedisRevocations(redis, store)
    tasks.start_on(stack, "revocations", revocations.follow())
    tasks.start_on(stack, "identity upkeep", IdentityUpkeep(engine).run())
    authenticator = Authenticator(access, store)
    service = IdentityService(store, passwords, SessionTokens(access, settings.jwt_secrets), revocations)
    keys = ApiKeyService(store, authenticator.forget_key)
    return authenticator, revocations, IdentityServicer(service, keys, Peers(settings.proxies))  # type: ignore[abstract]  # the other rpcs answer NOT_IMPLEMENTED
