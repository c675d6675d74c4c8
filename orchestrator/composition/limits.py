"""Wires the limits."""

from contextlib import AsyncExitStack

from mesh.limits.limiter import Sessions
from mesh.rpc.interceptors.failed_credentials import FailedCredentials
from mesh.rpc.interceptors.limits import Allowances, Limits
from mesh.rpc.peer import Peers
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.limits.local import LocalLimits
from orchestrator.adapters.limits.redis_buckets import RedisLimits
from orchestrator.composition.settings import OrchestratorSettings


def build_failed_credentials(settings: OrchestratorSettings) -> FailedCredentials:
    """Builds the limit on wrong credentials, which each process counts separately."""
    return FailedCredentials(LocalLimits(), settings.limit_failed_credentials_of_address)


async def build_limits(settings: OrchestratorSettings, stack: AsyncExitStack, tasks: BackgroundTasks, sessions: Sessions) -> Limits:
    """Builds the configured limits, which are counted in Redis."""
    allowances = Allowances(
        agent_calls=settings.limit_agent_calls,
        agent_calls_of_key=settings.limit_agent_calls_of_key,
        agent_calls_in_flight=settings.limit_agent_calls_in_flight,
        other_calls=settings.limit_calls,
        open_calls_of_address=settings.limit_open_calls_of_address,
        logins=settings.limit_logins,
        logins_of_address=settings.limit_logins_of_address,
    )
    limiter = await stack.enter_async_context(RedisLimits(settings.redis_url, tasks))
    return Limits(limiter, sessions, allowances, Peers(settings.gateway_secrets))
