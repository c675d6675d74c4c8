"""Wires the policy."""

from contextlib import AsyncExitStack

from mesh.errors import CannotStart
from orchestrator.adapters.policy.opa import OpaPolicy
from orchestrator.adapters.policy.regopy_engine import PolicyUnreadable, RegopyPolicy
from orchestrator.composition.settings import SharedSettings
from orchestrator.policy.ports import DenialLog
from orchestrator.policy.service import PolicyService


async def build_policy(settings: SharedSettings, stack: AsyncExitStack, denials: DenialLog) -> PolicyService:
    """Builds a policy that asks OPA_URL if it is set, otherwise one that evaluates POLICY_PATH. Raises CannotStart if it cannot be read."""
    if settings.opa_url is not None:
        return PolicyService(await stack.enter_async_context(OpaPolicy(settings.opa_url)), denials)
    try:
        return PolicyService(RegopyPolicy(settings.policy_path), denials)
    except PolicyUnreadable as error:
        raise CannotStart(f"POLICY_PATH: {error}") from error
