"""The authority under which steps run: the current authority of the run's user, not the one at the start of the run."""

from catalogue.errors import AgentNotFound
from mesh.security.caller import Caller
from orchestrator.identity.model import Loss, Principal
from orchestrator.identity.ports import Authorities
from orchestrator.policy.errors import PolicyDenied
from orchestrator.policy.model import Action, PolicyAgent
from orchestrator.policy.service import PolicyService
from orchestrator.registry.service import RegistryService

_LOSSES = {
    Loss.USER_DELETED: "the run's user has been deleted",
    Loss.USER_DISABLED: "the run's user is disabled; ask an admin to enable the user",
    Loss.API_KEY_REVOKED: "the API key that started the run has been revoked; start it again with another credential",
}


class RunAuthority:
    """Looks up roles, disabled and deleted users and revoked API keys. The answers are at most one second old."""

    def __init__(self, authorities: Authorities, registry: RegistryService, policy: PolicyService) -> None:
        self._authorities = authorities
        self._registry = registry
        self._policy = policy

    async def caller(self, principal: Principal) -> Caller:
        """Returns the principal as the caller of an agent. Raises ServiceUnavailable, and PolicyDenied if it may no longer act."""
        authority = (await self._authorities.of([principal]))[principal]
        if authority.loss is not None:
            raise PolicyDenied(f"the step may not run: {_LOSSES[authority.loss]}", cause=authority.loss.value)
        return Caller(principal.user_id, authority.username, authority.role, api_key_id=principal.api_key_id)

    async def check(self, principal: Principal, agent_id: str) -> None:
        """Returns if the principal may call this agent now. Raises PolicyDenied and ServiceUnavailable."""
        caller = await self.caller(principal)
        try:
            definition = self._registry.get(agent_id).definition
        except AgentNotFound:
            return  # the step waits for the agent when it runs
        await self._policy.check(caller, Action.EXECUTE, PolicyAgent(agent_id, definition.category, definition.role))
