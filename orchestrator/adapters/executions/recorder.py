"""The recorder on PostgreSQL: group commits of intents and of settlements, and the leases of executions in progress."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any, Self
from uuid import UUID

import asyncpg
import structlog
from uuid_utils.compat import uuid7

from mesh import backoff
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.tasks import BackgroundTasks
from mesh.usage import TokenUsage
from orchestrator.adapters.executions import recorder_sql as sql
from orchestrator.adapters.idempotency import keys
from orchestrator.adapters.postgres.connection import Connection, LazyConnection, NotConnected
from orchestrator.adapters.postgres.documents import document, storable_document
from orchestrator.adapters.postgres.engine import CONNECTION_LOST, database_unavailable
from orchestrator.adapters.postgres.group_commit import GroupCommit
from orchestrator.executions.events import agent_executed
from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.failpoints import AFTER_INTENT, AFTER_SETTLEMENT, BEFORE_INTENT, BEFORE_SETTLEMENT
from orchestrator.executions.model import Bill, Failure, Intent, Settlement, State, StepRef
from orchestrator.idempotency.model import OriginalRequest

log = structlog.get_logger()

SPACING_SECONDS = 0.0003
"""The pause between commits, per execution in progress. With 64, it saves a fifth of PostgreSQL's CPU and a twentieth of this process's."""
LONGEST_SPACING_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class _Entry:
    settlement: Settlement
    intent_is_known: bool = True
    """False if it is unknown whether the intent was committed."""


def _no_listener() -> None:
    pass


class PostgresRecorder:
    """Writes intents and settlements. An async context manager, one per process, which renews the leases of the process.

    `on_events` is called after each commit that contains events.
    """

    def __init__(
        self,
        database_url: str,
        lease_seconds: float,
        tasks: BackgroundTasks,
        on_events: Callable[[], None] = _no_listener,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._now = clock.monotonic
        self._tasks = tasks
        self._owner = uuid7()
        self._lease = lease_seconds
        self._on_events = on_events
        self._intents: GroupCommit[Intent, OriginalRequest | None] = GroupCommit(database_url, self._write_intents, tasks, self._spacing)
        self._settlements: GroupCommit[_Entry, bool] = GroupCommit(database_url, self._write_settlements, tasks, self._spacing)
        self._renewals = LazyConnection(database_url)
        self._leases: dict[UUID, float] = {}
        self._voiding: set[asyncio.Task[bool]] = set()
        self._unflushed: dict[StepRef, Settlement] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._intents)
            await stack.enter_async_context(self._settlements)
            stack.push_async_callback(self._renewals.close)
            self._tasks.start_on(stack, "execution leases", self._renew_forever(), urgent=True)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._voiding:
            await asyncio.wait(self._voiding, timeout=self._lease)
        await self._tasks.stop(*self._voiding)
        await self._stack.aclose()

    async def record(self, intent: Intent) -> OriginalRequest | None:
        """Commits an intent; see Recorder."""
        self._leases[intent.execution_id] = self._now() + self._lease
        try:
            original = await self._intents.submit(intent)
        except NotConnected as error:
            del self._leases[intent.execution_id]
            raise database_unavailable() from error
        except CONNECTION_LOST as error:
            self._void(intent)
            raise database_unavailable() from error
        except BaseException:
            del self._leases[intent.execution_id]
            raise
        if original is not None:
            del self._leases[intent.execution_id]
        return original

    async def settle(self, settlement: Settlement) -> bool:
        """Commits a settlement; see Recorder."""
        settled = await self._settle(_Entry(settlement))
        if settled and (step := settlement.intent.step):
            self._unflushed[step] = settlement
        return settled

    async def settle_again(self, step: StepRef) -> bool:
        """Commits the settlement of a step again; see Recorder."""
        settlement = self._unflushed.get(step)
        return settlement is not None and await self._settle(_Entry(settlement))

    def step_committed(self, step: StepRef) -> None:
        """Forgets the settlement of a step; see Recorder."""
        self._unflushed.pop(step, None)

    async def _settle(self, entry: _Entry) -> bool:
        execution_id = entry.settlement.intent.execution_id
        self._leases.setdefault(execution_id, self._now() + self._lease)
        try:
            for wait in backoff.delays():
                try:
                    return await self._settlements.submit(entry)
                except CONNECTION_LOST:
                    if self._now() > self._leases.get(execution_id, 0):
                        break
                    await asyncio.sleep(wait)
            return False
        finally:
            self._leases.pop(execution_id, None)

    def _void(self, intent: Intent) -> None:
        """Settles an intent that may have been committed, or still will be by a slow server. Its call was refused and bought nothing."""
        failure = Failure(
            "SERVICE_UNAVAILABLE",
            "the connection to the database was lost before the agent was called; nothing was bought, so try again",
            {},
            retryable=True,
        )
        refused = Settlement(intent, State.FAILED, failure=failure)
        task = self._tasks.start_once("voided intent", self._settle(_Entry(refused, intent_is_known=False)), vital=False)
        self._voiding.add(task)
        task.add_done_callback(self._voiding.discard)

    async def _write_intents(self, connection: Connection, intents: Sequence[Intent]) -> Sequence[OriginalRequest | None]:
        BEFORE_INTENT.hit()
        originals: Mapping[UUID, OriginalRequest] = {}
        claims = [(intent.execution_id, intent.claim) for intent in intents if intent.claim]
        if not claims:
            await connection.execute(sql.INSERT_INTENTS, *self._intents_of(intents))
        else:
            async with connection.transaction():
                originals = await keys.claim(connection, claims)
                fresh = [intent for intent in intents if intent.execution_id not in originals]
                await connection.execute(sql.INSERT_INTENTS, *self._intents_of(fresh))
        AFTER_INTENT.hit()
        return [originals.get(intent.execution_id) for intent in intents]

    async def _write_settlements(self, connection: Connection, entries: Sequence[_Entry]) -> Sequence[bool]:
        BEFORE_SETTLEMENT.hit()
        if lost := [entry.settlement.intent for entry in entries if not entry.intent_is_known]:
            # After this, they are committed. An earlier insert that the server may still be executing then conflicts and fails.
            await connection.execute(sql.INSERT_INTENTS + "ON CONFLICT (execution_id) DO NOTHING", *self._intents_of(lost))
        freed = [e.settlement.intent.execution_id for e in entries if e.settlement.frees_key and e.settlement.intent.claim]
        # The step's own commit comes later in the same write-ahead log and flushes this one. If the database crashes in between, the
        # step's commit finds the execution still running, and the settlement is submitted again.
        flush = "off" if all(entry.settlement.intent.step for entry in entries) else "on"
        settlements = storable_document([_settlement_row(entry.settlement) for entry in entries])
        events = [entry.settlement.event_id for entry in entries]
        settled = {row["event_id"] for row in await connection.fetch(sql.SETTLE, settlements, freed, flush)}
        AFTER_SETTLEMENT.hit()
        self._on_events()
        if others := [event_id for event_id in events if event_id not in settled]:
            # An earlier attempt, whose commit was not confirmed, may have succeeded.
            settled |= {row["event_id"] for row in await connection.fetch(sql.SETTLED_BEFORE, others)}
        return [event_id in settled for event_id in events]

    def _intents_of(self, intents: Sequence[Intent]) -> tuple[str, UUID, float]:
        return document([_intent_row(intent) for intent in intents]), self._owner, self._lease

    def _spacing(self) -> float:
        return min(len(self._leases) * SPACING_SECONDS, LONGEST_SPACING_SECONDS)

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            held = list(self._leases)
            if not held:
                continue
            until = self._now() + self._lease
            try:
                renewed = await (await self._renewals.get()).fetch(sql.RENEW, held, self._lease)
            except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
                log.warning("leases_not_renewed", executions=len(held), error=type(error).__name__)
                self._renewals.drop()
                continue
            for row in renewed:
                if row["execution_id"] in self._leases:
                    self._leases[row["execution_id"]] = until


def _intent_row(intent: Intent) -> dict[str, Any]:
    worst = intent.worst_case
    row = {
        "execution_id": intent.execution_id,
        "user_id": intent.user_id,
        "agent_id": intent.agent_id,
        "agent_name": intent.agent_name,
        "agent_revision": intent.agent_revision,
        "input": intent.input,
        "context": intent.context,
        "streamed": intent.streamed,
        "request_id": intent.request_id,
        "model": worst.usage.model,
        "input_tokens": worst.usage.input_tokens,
        "output_tokens": worst.usage.output_tokens,
        "cost_micro_usd": worst.cost_micro_usd,
        "price_table": worst.price_table,
        "run_id": intent.step and intent.step.run_id,
        "task_id": intent.step and intent.step.task_id,
    }
    if intent.api_key_id is not None:  # a missing field costs nothing and is NULL
        row["api_key_id"] = intent.api_key_id
    return row


def _settlement_row(s: Settlement) -> dict[str, Any]:
    event = agent_executed(s)
    return {
        "execution_id": s.intent.execution_id,
        "status": s.state.value,
        "result": s.result,
        "metadata": s.metadata,
        "failure": None if s.failure is None else asdict(s.failure),
        "seconds": s.seconds,
        "facts": None if s.facts is None else _facts_row(s.facts),
        **_bill_row(s.bill, s.intent.worst_case.price_table),
        "event_id": s.event_id,
        "event_data": event.data,
        "event_metadata": event.metadata,
    }


def _facts_row(facts: AnswerFacts) -> dict[str, Any]:
    return {
        "provider": facts.provider,
        "model": facts.model,
        "stop_reason": facts.stop_reason.value,
        "stop_detail": facts.stop_detail,
        "agent_revision": facts.agent_revision,
        "turns": facts.turns,
        "redacted": facts.redacted,
    }


def _bill_row(bill: Bill | None, price_table: str) -> dict[str, Any]:
    usage = TokenUsage("", 0, 0) if bill is None else bill.usage
    return {
        "model": usage.model or None,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "usage_estimated": usage.estimated,
        "cost_micro_usd": 0 if bill is None else bill.cost_micro_usd,
        "price_table": price_table if bill is None else bill.price_table,
    }
