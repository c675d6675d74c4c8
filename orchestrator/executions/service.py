"""Calls agents and reads executions."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.documents import free_form
from mesh.errors import CallCancelled, RemoteError, UpstreamTimeout, ValidationFailed
from mesh.rpc.requests.paging import LARGEST_PAGE
from mesh.security import caller
from orchestrator.executions.books import Books
from orchestrator.executions.errors import ExecutionNotFound
from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import (
    EVERYTHING,
    WHOLE,
    Bill,
    Excerpt,
    Execution,
    ExecutionPage,
    ExecutionQuery,
    Intent,
    Settlement,
    State,
    StepRef,
    Work,
)
from orchestrator.executions.ports import AgentCall, ExecutionStore, OnText
from orchestrator.executions.purchase import Purchases
from orchestrator.executions.stop import StopSignal
from orchestrator.idempotency.model import OriginalRequest
from orchestrator.policy.model import Action, PolicyAgent
from orchestrator.policy.service import PolicyService
from orchestrator.registry.service import RegistryService

DEFAULT_SECONDS = 120.0
LONGEST_SECONDS = 600.0
MARGIN_SECONDS = 0.25
"""Part of the caller's deadline, reserved for settling the call and responding."""
HEARTBEAT_SECONDS = 15.0
"""A stream sends a message at least this often, even while it waits for an earlier call with its idempotency key."""
_FIRST_LOOK_SECONDS = 0.02
_SLOWEST_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Answered:
    """A completed execution, of this call or of an earlier call with the same idempotency key."""

    execution_id: UUID
    agent_name: str
    result: str
    seconds: float
    metadata: Mapping[str, Any]
    bill: Bill
    facts: AnswerFacts | None = None


class ExecutionService:
    """Calls agents for users, and reads executions. Times are in seconds: None means 120, and 600 is the maximum."""

    def __init__(
        self,
        registry: RegistryService,
        policy: PolicyService,
        purchases: Purchases,
        books: Books,
        store: ExecutionStore,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._now = clock.monotonic
        self._registry = registry
        self._policy = policy
        self._purchases = purchases
        self._books = books
        self._store = store

    async def execute(self, work: Work, seconds: float | None, stop: StopSignal | None = None, on_text: OnText | None = None) -> Answered:
        """Returns the complete answer. When `stop` is set, the call is ended and settled, and CallCancelled is raised.

        `on_text` receives the answer as it grows, unless it is that of an earlier call with the same idempotency key.

        Raises AgentNotFound, PolicyDenied, ValidationFailed, IdempotencyConflict, ServiceUnavailable, AgentUnavailable, AgentLost,
        UpstreamTimeout, or the RemoteError that the agent returned.
        """
        ends = self._now() + _bounded(seconds)
        look = _FIRST_LOOK_SECONDS
        while True:
            intent, call = await self._prepared(work, ends, streamed=on_text is not None)
            outcome = await self._purchases.whole(intent, call, stop, on_text)
            if isinstance(outcome, Settlement):
                return _fresh(outcome)
            if (earlier := await self._original_answer(intent, outcome)) is not None:
                return earlier
            look = await self._wait_for_original(look, ends)
            if stop is not None and stop.is_set:
                raise CallCancelled("the call was cancelled while it waited for the original call", agent_id=work.agent_id)

    async def stream(self, work: Work, seconds: float | None) -> AsyncIterator[UUID | str | Answered | None]:
        """Yields the execution's id, the answer's text in pieces, then the complete answer; None is a heartbeat. Raises like `execute`.

        The answer of an earlier call with the same idempotency key comes in one piece.
        """
        ends = self._now() + _bounded(seconds)
        look, heartbeat = _FIRST_LOOK_SECONDS, self._now() + HEARTBEAT_SECONDS
        while True:
            intent, call = await self._prepared(work, ends, streamed=True)
            original = None
            async for item in self._purchases.pieces(intent, call):
                if isinstance(item, OriginalRequest):
                    original = item
                else:
                    yield _shown(item)
            if original is None:
                return
            if (earlier := await self._original_answer(intent, original)) is not None:
                break
            look = await self._wait_for_original(look, ends)
            if self._now() > heartbeat:
                yield None
                heartbeat = self._now() + HEARTBEAT_SECONDS
        yield earlier.execution_id
        if earlier.result:
            yield earlier.result
        yield earlier

    async def settle_again(self, step: StepRef) -> bool:
        """Submits the settlement of a step's latest execution again after a crash of the database. False if it cannot be restored."""
        return await self._purchases.settle_again(step)

    def step_committed(self, step: StepRef) -> None:
        """Reports that the step's own commit is confirmed or will never be made."""
        self._purchases.step_committed(step)

    async def get(self, sees: int | None, execution_id: UUID, excerpt: Excerpt = WHOLE) -> Execution:
        """An execution of the user `sees`, or of any user if `sees` is None, with this part of its result.

        Raises ExecutionNotFound, and AnswerTooLarge if the result does not fit into a response.
        """
        execution = await self._store.get(sees, execution_id, excerpt)
        if execution is None:
            message = f"Execution '{execution_id}' not found; GET /api/v1/executions lists yours"
            raise ExecutionNotFound(message, execution_id=str(execution_id))
        return execution

    async def list(self, query: ExecutionQuery) -> ExecutionPage:
        """A page of executions, newest first, at most 200."""
        return await self._store.list(replace(query, page_size=min(query.page_size, LARGEST_PAGE)))

    async def _prepared(self, work: Work, ends: float, *, streamed: bool) -> tuple[Intent, AgentCall]:
        agent = self._registry.get(work.agent_id)
        definition = agent.definition
        who = caller.current()
        await self._policy.check(who, Action.EXECUTE, PolicyAgent(work.agent_id, definition.category, definition.role))
        _check(work)
        left = ends - self._now() - MARGIN_SECONDS
        if left <= 0:
            message = f"the deadline is too short for a call: allow at least {MARGIN_SECONDS * 2:g} s"
            raise UpstreamTimeout(message, deadline_seconds=f"{max(0.0, left + MARGIN_SECONDS):.3f}")
        intent = self._books.intent(work, agent, streamed=streamed, api_key_id=who.api_key_id)
        return intent, AgentCall(work.agent_id, agent.port, work.user_id, intent.execution_id, work.input, work.context, left)

    async def _original_answer(self, intent: Intent, original: OriginalRequest) -> Answered | None:
        """The outcome of the request that holds the key; None while it runs, or if it has released the key.

        Raises IdempotencyConflict if its body was different.
        """
        assert intent.claim is not None  # only a claim can find another request
        original.check(intent.claim)
        earlier = await self.get(intent.user_id, original.resource_id, EVERYTHING)
        if earlier.state is State.COMPLETED and earlier.bill is not None:
            return Answered(
                earlier.execution_id,
                earlier.agent_name,
                earlier.result,
                earlier.seconds,
                earlier.metadata,
                earlier.bill,
                earlier.facts,
            )
        failure = earlier.failure
        if earlier.state is State.FAILED and failure is not None and not failure.retryable:
            raise RemoteError(failure.reason, failure.message, retryable=False, details=failure.details)
        return None

    async def _wait_for_original(self, look: float, ends: float) -> float:
        """Waits `look` seconds and returns how long to wait next. Raises UpstreamTimeout if the wait would exceed the caller's deadline."""
        if self._now() + look + MARGIN_SECONDS > ends:
            raise UpstreamTimeout(
                "the earlier call with this idempotency key is still running; send the request again with the same key to get its result"
            )
        await asyncio.sleep(look)
        return min(look * 2, _SLOWEST_LOOK_SECONDS)


def _shown(item: Intent | str | Settlement | None) -> UUID | str | Answered | None:
    if isinstance(item, Intent):
        return item.execution_id
    return _fresh(item) if isinstance(item, Settlement) else item


def _fresh(settlement: Settlement) -> Answered:
    intent = settlement.intent
    assert settlement.bill is not None  # an answered call always has a bill
    return Answered(
        intent.execution_id,
        intent.agent_name,
        settlement.result,
        settlement.seconds,
        settlement.metadata,
        settlement.bill,
        settlement.facts,
    )


def _bounded(seconds: float | None) -> float:
    return DEFAULT_SECONDS if seconds is None else min(seconds, LONGEST_SECONDS)


def _check(work: Work) -> None:
    found = [*free_form.violations("input", work.input), *free_form.violations("context", work.context)]
    if found:
        raise ValidationFailed.all(found)
