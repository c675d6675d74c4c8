"""What executions need of the world."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from orchestrator.executions.model import AgentAnswer, Execution, ExecutionPage, ExecutionQuery, Intent, Settlement, StepRef
from orchestrator.executions.stop import StopSignal
from orchestrator.idempotency.model import OriginalRequest


class Recorder(Protocol):
    """Writes intents and settlements, many in one commit. What it has returned from is committed."""

    async def record(self, intent: Intent) -> OriginalRequest | None:
        """Records an intent under a lease of this process, or returns the request that holds its idempotency key.

        Raises ServiceUnavailable when the books cannot be written: then nothing may be bought.
        """
        ...

    async def settle(self, settlement: Settlement) -> bool:
        """Settles an execution once, together with its `agent.executed` event.

        Tries again as long as the lease may still hold; False when the execution is not this process's any more.

        A step's settlement is flushed to disk only with the step's own commit: a crash of the database in between loses it. Until
        `step_committed` is called, `settle_again` can restore it.
        """
        ...

    async def settle_again(self, step: StepRef) -> bool:
        """Settles the step's latest execution as before; False when it was not settled here or is not this process's any more."""
        ...

    def step_committed(self, step: StepRef) -> None:
        """The step's own commit, which flushes its settlement, has been confirmed, or will never come."""
        ...


class ExecutionStore(Protocol):
    """Reads the books. Raises ServiceUnavailable when they cannot be read."""

    async def get(self, sees: int | None, execution_id: UUID) -> Execution | None:
        """An execution of the user that `sees` names, or of anybody's for None."""
        ...

    async def list(self, query: ExecutionQuery) -> ExecutionPage:
        """A page of executions without input, context, result and metadata."""
        ...

    async def of_step(self, step: StepRef) -> Sequence[Execution]:
        """The executions of a step's attempts, oldest first, without those texts either."""
        ...


@dataclass(frozen=True, slots=True)
class AgentCall:
    """One call to an agent. `seconds` bounds it."""

    agent_id: str
    port: int
    user_id: int
    execution_id: UUID
    input: str
    context: Mapping[str, Any] | None
    seconds: float


class Agents(Protocol):
    """Calls agents.

    Raises AgentUnavailable (the call had not begun), AgentLost or UpstreamTimeout (it had), or the RemoteError that the agent
    answered. When `stop` is set the agent is asked to end the call: then CANCELLED is raised, with the usage in its details if
    the agent said it in time.
    """

    async def execute(self, call: AgentCall, stop: StopSignal) -> AgentAnswer: ...

    def stream(self, call: AgentCall, stop: StopSignal) -> AsyncIterator[str | AgentAnswer | None]:
        """The answer's text in pieces, then the whole; None for a heartbeat."""
        ...
