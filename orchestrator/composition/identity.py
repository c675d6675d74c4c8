"""Wires users, sessions and API keys."""

from contextlib import AsyncExitStack

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.rpc.peer import Peers
from mesh.security.tokens import AccessTokens
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.identity.lists import PostgresIdentityLists
from orchestrator.adapters.identity.passwords import BcryptPasswords
from orchestrator.adapters.identity.revocations import RedisRevocations
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.adapters.identity.upkeep import IdentityUpkeep
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.identity.access import AccountAccess
from orchestrator.identity.api_keys import ApiKeyService
from orchestrator.identity.authentication import Authenticator
from orchestrator.identity.open_sessions import SessionService
from orchestrator.identity.service import IdentityService
from orchestrator.identity.servicer import IdentityServicer
from orchestrator.identity.sessions import SessionTokens
from orchestrator.identity.users import UserService
from orchestrator.policy.service import PolicyService


def build_identity(
    settings: OrchestratorSettings,
    stack: AsyncExitStack,
    tasks: BackgroundTasks,
    engine: AsyncEngine,
    redis: Redis,
    policy: PolicyService,
) -> tuple[Authenticator, RedisRevocations, IdentityServicer]:
    """Builds the authenticator, the list of ended sessions and the AuthService."""
    access_tokens = AccessTokens(settings.jwt_secrets, settings.jwt_expiry_minutes * 60)
    store = PostgresIdentityStore(engine, settings.refresh_expiry_days)
    passwords = stack.enter_context(BcryptPasswords(settings.bcrypt_rounds, settings.limit_password_checks_waiting))
    revocations = RedisRevocations(redis, store)
    tasks.start_on(stack, "revocations", revocations.follow())
    tasks.start_on(stack, "identity upkeep", IdentityUpkeep(engine).run())
    authenticator = Authenticator(access_tokens, store)
    lists, access = PostgresIdentityLists(engine), AccountAccess(store, policy)
    tokens, is_open = SessionTokens(access_tokens, settings.jwt_secrets), settings.registration == "open"
    servicer = IdentityServicer(
        IdentityService(store, passwords, tokens, revocations, registration_open=is_open),
        ApiKeyService(store, lists, access, policy, authenticator.forget_key, most_keys=settings.limit_api_keys_of_user),
        SessionService(store, lists, access, revocations),
        UserService(store, lists, access, passwords, revocations),
        Peers(settings.gateway_secrets),
    )
    return authenticator, revocations, servicer
