"""The ports of executions: the recorder, the store and the agents."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from orchestrator.executions.model import WHOLE, AgentAnswer, Excerpt, Execution, ExecutionPage, ExecutionQuery, Intent, Settlement, StepRef
from orchestrator.executions.stop import StopSignal
from orchestrator.idempotency.model import OriginalRequest

OnText = Callable[[UUID, str], None]
"""Receives the id of an execution and the next piece of its answer: an empty one when the call begins. Must not block or raise."""


class Recorder(Protocol):
    """Writes intents and settlements, many in one commit. A method returns after its own write is committed."""

    async def record(self, intent: Intent) -> OriginalRequest | None:
        """Records an intent, leased to this process. Returns the request that holds its idempotency key instead, if one does.

        Raises ServiceUnavailable if the intent cannot be written; then nothing may be bought.
        """
        ...

    async def settle(self, settlement: Settlement) -> bool:
        """Settles an execution exactly once, together with its `agent.executed` event.

        Retries while the lease may still be valid. Returns False if the execution no longer belongs to this process.

        A step's settlement is flushed to disk only with the step's own commit: a crash of the database in between loses it. Until
        `step_committed` is called, `settle_again` can restore it.
        """
        ...

    async def settle_again(self, step: StepRef) -> bool:
        """Submits the settlement of the step's latest execution again.

        Returns False if this process did not settle it, or if the execution no longer belongs to this process.
        """
        ...

    def step_committed(self, step: StepRef) -> None:
        """Reports that the step's own commit, which flushes its settlement, is confirmed or will never be made."""
        ...


class ExecutionStore(Protocol):
    """Reads recorded executions. Raises ServiceUnavailable if the database cannot be read."""

    async def get(self, sees: int | None, execution_id: UUID, excerpt: Excerpt = WHOLE) -> Execution | None:
        """An execution of the user `sees`, or of any user if `sees` is None, with this part of its result. None if there is none.

        Raises AnswerTooLarge if the result does not fit into a response.
        """
        ...

    async def list(self, query: ExecutionQuery) -> ExecutionPage:
        """A page of executions, without input, context, result and metadata."""
        ...

    async def of_step(self, step: StepRef) -> Sequence[Execution]:
        """The executions of a step's attempts, oldest first, also without those texts."""
        ...


@dataclass(frozen=True, slots=True)
class Typical:
    """What is typical of an agent's completed executions. All are 0 if there were none."""

    samples: int = 0
    micro_usd_p50: int = 0
    micro_usd_p90: int = 0
    seconds_p50: float = 0.0
    seconds_p90: float = 0.0


class TypicalFigures(Protocol):
    async def of(self, agent_ids: Sequence[str]) -> Mapping[str, Typical]:
        """What was typical in the last 30 days, of the executions of all users. Raises ServiceUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class AgentCall:
    """One call to an agent, which may take `seconds`."""

    agent_id: str
    port: int
    user_id: int
    execution_id: UUID
    input: str
    context: Mapping[str, Any] | None
    seconds: float


class Agents(Protocol):
    """Calls agents.

    Raises AgentUnavailable (the call had not begun), AgentLost or UpstreamTimeout (it may have begun), or the RemoteError that the
    agent returned. When `stop` is set, the agent is asked to end the call. Then an error with the reason CANCELLED is raised, with the
    usage in its details if the agent reported it in time.
    """

    async def execute(self, call: AgentCall, stop: StopSignal) -> AgentAnswer: ...

    def stream(self, call: AgentCall, stop: StopSignal) -> AsyncIterator[str | AgentAnswer | None]:
        """Yields the answer's text in pieces, then the complete answer; None is a heartbeat."""
        ...
