"""Makes the records of a call: its worst-case cost beforehand, its bill or its failure afterwards."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from catalogue.model import AgentDefinition
from catalogue.pricing.prices import PriceBook
from catalogue.pricing.tokens import estimate_tokens
from catalogue.prompt import message_tokens, system_prompt
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import CallCancelled, MeshError, RemoteError, UpstreamTimeout
from mesh.usage import TokenUsage
from orchestrator.executions.errors import AgentLost
from orchestrator.executions.facts import AnswerFacts, StopReason
from orchestrator.executions.model import AgentAnswer, Bill, Failure, Intent, Settlement, State, Work
from orchestrator.idempotency.model import Claim, Operation, claim
from orchestrator.registry.model import ListedAgent


class Books:
    """Makes intents and settlements, at the prices of the current day."""

    def __init__(self, prices: PriceBook, retryable: Callable[[MeshError], bool], clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._prices = prices
        self._retryable = retryable
        self._system_tokens: dict[str, int] = {}

    def intent(self, work: Work, agent: ListedAgent, *, streamed: bool, api_key_id: UUID | None = None) -> Intent:
        """The record of a call before it is made, at its worst-case cost."""
        definition = agent.definition
        return Intent(
            execution_id=new_id(),
            user_id=work.user_id,
            agent_id=work.agent_id,
            agent_name=definition.name,
            agent_revision=definition.revision,
            input=work.input,
            context=work.context,
            streamed=streamed,
            request_id=work.request_id,
            worst_case=self.price(agent, work.input, work.context, definition.max_tokens),
            claim=_claim(work),
            step=work.step,
            api_key_id=api_key_id,
        )

    def price(self, agent: ListedAgent, text: str, context: Mapping[str, Any] | None, output_tokens: int) -> Bill:
        """The bill of a call with an answer of this length, with its input tokens as an upper bound."""
        prompt = self._system_prompt_tokens(agent.definition) + message_tokens(text, context)
        return self._bill(TokenUsage(agent.model, prompt, output_tokens, estimated=True))

    def completed(self, intent: Intent, answer: AgentAnswer) -> Settlement:
        return Settlement(
            intent,
            State.COMPLETED,
            answer.text,
            answer.metadata,
            bill=self._bill(answer.usage),
            seconds=answer.seconds if isfinite(answer.seconds) else 0.0,
            facts=answer.facts,
        )

    def failed(self, intent: Intent, error: MeshError, text: str, seconds: float) -> Settlement:
        """The settlement of a call that did not complete; `text` is the part of the answer that was sent to the caller."""
        try:
            usage = TokenUsage.from_details(error.details)
        except ValueError:  # no host of this release sends such details
            usage = intent.worst_case.usage
        failure = Failure(error.reason, error.message, dict(error.details), self._retryable(error))
        state, bill = State.FAILED, self._bill(usage) if usage else None
        if error.reason == CallCancelled.reason:
            # An agent that confirms the cancellation also reports what was bought, which can be nothing.
            state, bill = State.CANCELLED, bill if isinstance(error, RemoteError) else intent.worst_case
        elif isinstance(error, AgentLost | UpstreamTimeout):
            state, bill = State.OUTCOME_UNKNOWN, intent.worst_case
        facts = _facts(intent, error, usage)
        return Settlement(intent, state, text, failure=failure, bill=bill, seconds=seconds, facts=facts)

    def unstorable(self, intent: Intent) -> Settlement:
        """The settlement of a call whose actual outcome the database rejects, for example because a number does not fit its column.

        It is charged at its worst case.
        """
        message = (
            "the outcome of the call could not be recorded, so its worst-case cost is charged; quote the request id when you report it"
        )
        failure = Failure(AgentLost.reason, message, {}, retryable=False)
        return Settlement(intent, State.OUTCOME_UNKNOWN, failure=failure, bill=intent.worst_case)

    def never_begun(self, intent: Intent, error: MeshError) -> Settlement:
        """The settlement of a call that ended before the agent was called. It cost nothing."""
        state = State.CANCELLED if error.reason == CallCancelled.reason else State.FAILED
        return Settlement(intent, state, failure=Failure(error.reason, error.message, dict(error.details), self._retryable(error)))

    def _system_prompt_tokens(self, definition: AgentDefinition) -> int:
        tokens = self._system_tokens.get(definition.revision)
        if tokens is None:
            tokens = self._system_tokens[definition.revision] = estimate_tokens(system_prompt(definition))
        return tokens

    def _bill(self, usage: TokenUsage) -> Bill:
        table = self._prices.table(self._clock.now().date())
        cost = table.cost_micro_usd(usage.model, usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
        return Bill(usage, cost, table.version)


def _facts(intent: Intent, error: MeshError, usage: TokenUsage | None) -> AnswerFacts | None:
    """The known facts of a failed answer: why the model stopped early. None if the error does not tell."""
    stopped = error.details.get("stop_reason")
    if stopped is None or usage is None:
        return None
    known = {reason.value: reason for reason in StopReason}
    reason = known.get(stopped, StopReason.UNSPECIFIED)
    detail = "" if stopped in known else stopped
    return AnswerFacts(model=usage.model, stop_reason=reason, stop_detail=detail, agent_revision=intent.agent_revision)


def _claim(work: Work) -> Claim | None:
    operation = Operation.RUN_STEP if work.step else Operation.EXECUTE_AGENT
    return claim(work.user_id, operation, work.idempotency_key, [work.agent_id, work.input, work.context])


def new_id() -> UUID:
    """A new execution id. It is a UUIDv7, so ids sort by creation time."""
    return uuid7()
