"""SIGKILL of the orchestrator at every step of a call."""

from dataclasses import dataclass

import pytest

import orchestrator.composition.orchestrator
from deploy.local.stack import Stack
from deploy.local.supervision.process import Process
from deploy.local.supervision.waiting import holds_within
from mesh.failpoints import Failpoint
from tests.chaos.calls import LOST, OK, UNAVAILABLE, Call, Ledger, attempt
from tests.chaos.clients import RestClient, grpc_client
from tests.chaos.reconcile import reconcile
from tests.chaos.recovery import settled, well

assert orchestrator.composition.orchestrator  # imported to register its failpoints


@dataclass(frozen=True, slots=True)
class Trace:
    """What a kill leaves behind, after the sweeper has run."""

    states: tuple[str, ...]
    purchases: int


TRACES = {
    "execution.before_intent_commit": Trace((), 0),
    "execution.after_intent_commit": Trace(("outcome_unknown",), 0),
    "execution.after_agent_answer": Trace(("outcome_unknown",), 1),
    "execution.before_settlement_commit": Trace(("outcome_unknown",), 1),
    "execution.after_settlement_commit": Trace(("completed",), 1),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("failpoint", sorted(name for name in Failpoint.known if name.startswith("execution.")))
async def test_the_books_agree_after_a_kill_at_any_step(
    stack: Stack, rest: RestClient, ledger: Ledger, failpoint: str, streamed: bool
) -> None:
    """Nothing stays open, every purchase is recorded, and the same call then succeeds."""
    expected = TRACES[failpoint]
    call = Call(f"Killed at {failpoint}, {'streamed' if streamed else 'whole'}", streamed, key="" if streamed else f"key-{failpoint}")
    ledger.append(call)
    await armed(stack, failpoint)
    orchestrator = stack.process("orchestrator")
    victim = orchestrator.pid

    killed = await attempt(call, rest)
    assert killed.outcome in (LOST, "AGENT_EXECUTION_FAILED"), "the call was reported as answered, or as not bought"
    assert await holds_within(5, lambda: has_ended(orchestrator, victim)), f"the orchestrator did not die at {failpoint}"

    await orchestrator.restart(env={"FAILPOINTS": ""})
    await settled(stack)
    books = await reconcile(stack.database_url, stack.simulator_log, ledger)
    left = books.of_request(killed.request_id)
    assert tuple(row["status"] for row in left) == expected.states
    assert sum(len(books.purchases.get(str(row["execution_id"]), ())) for row in left) == expected.purchases

    await well(stack)
    again = await attempt(call, rest)
    assert again.outcome == OK
    books = await reconcile(stack.database_url, stack.simulator_log, ledger)
    bought_again = books.of_request(again.request_id)
    recorded_before_the_kill = call.key and expected.states == ("completed",)
    assert len(bought_again) == (0 if recorded_before_the_kill else 1), "a recorded answer was bought again"


async def test_a_direct_client_of_a_killed_orchestrator_gets_no_answer(stack: Stack, ledger: Ledger) -> None:
    """Without the gateway, a native client's connection breaks, which gRPC reports as UNAVAILABLE; the books record what was bought."""
    call = Call("Killed before the eyes of a native client", key="key-native")
    ledger.append(call)
    await armed(stack, "execution.after_agent_answer")
    async with grpc_client(stack, "orchestrator", wait_for_ready=True) as client:
        assert (await attempt(call, client)).outcome == UNAVAILABLE
        await stack.process("orchestrator").restart(env={"FAILPOINTS": ""})
        assert (await attempt(call, client)).outcome == OK, (
            "the retry with the same channel and key got no answer after the first call was settled"
        )
    await settled(stack)
    books = await reconcile(stack.database_url, stack.simulator_log, ledger)
    states = [row["status"] for one in call.attempts for row in books.of_request(one.request_id)]
    assert states == ["outcome_unknown", "completed"]


async def armed(stack: Stack, failpoint: str) -> None:
    """Restart the orchestrator with this failpoint armed."""
    await stack.process("orchestrator").restart(env={"FAILPOINTS": failpoint})
    await well(stack)


async def has_ended(process: Process, pid: int) -> bool:
    """Whether that process has ended; the supervisor may have started the next one."""
    return not process.running or process.pid != pid
