"""Which failures the Python client repeats, and for how long."""

import pytest

from agentmesh_client import (
    AgentFailed,
    AgentMeshError,
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    RateLimited,
    RetryPolicy,
    Unavailable,
    messages,
)
from agentmesh_client.errors import _BY_REASON
from agentmesh_client.retries import Tries, with_key

POLICY = RetryPolicy(attempts=3, first_delay_seconds=1, longest_delay_seconds=1.5)


def test_every_reason_has_a_class() -> None:
    names = {value.name.removeprefix("ERROR_REASON_") for value in messages.ErrorReason.DESCRIPTOR.values[1:]}
    assert set(_BY_REASON) == names
    assert sum(len(kind.reasons) for kind in AgentMeshError.__subclasses__()) == len(names)


@pytest.mark.parametrize("error", [Unavailable("down"), RateLimited("too many")])
def test_a_call_that_was_refused_before_it_began_is_repeated(error: AgentMeshError) -> None:
    tries = Tries(POLICY, None, repeatable=False)
    assert 0.5 <= tries.pause_after(error) <= 1
    assert 0.75 <= tries.pause_after(error) <= 1.5
    with pytest.raises(type(error)):
        tries.pause_after(error)


@pytest.mark.parametrize("error", [AgentFailed("no answer"), DeadlineExceeded("late"), InvalidRequest("no input")])
def test_a_call_that_may_have_had_an_effect_or_cannot_succeed_is_not_repeated(error: AgentMeshError) -> None:
    with pytest.raises(type(error)):
        Tries(POLICY, None, repeatable=True).pause_after(error)


def test_a_lost_call_is_repeated_only_if_that_is_safe() -> None:
    lost = ConnectionLost("reset")
    assert Tries(POLICY, None, repeatable=True).pause_after(lost) > 0
    with pytest.raises(ConnectionLost):
        Tries(POLICY, None, repeatable=False).pause_after(lost)


def test_the_pause_is_as_long_as_the_platform_asks_for() -> None:
    assert Tries(POLICY, None, repeatable=True).pause_after(RateLimited("too many", retry_after_seconds=7)) == 7


def test_all_tries_together_keep_the_deadline() -> None:
    tries = Tries(POLICY, 5, repeatable=True)
    assert tries.seconds_left is not None
    assert 0 < tries.seconds_left <= 5
    with pytest.raises(RateLimited):
        tries.pause_after(RateLimited("too many", retry_after_seconds=7))


def test_all_tries_of_a_call_have_one_idempotency_key() -> None:
    request = messages.ExecuteAgentRequest(agent_id="a", input="b")
    first, second = with_key(request), with_key(request)
    assert first.idempotency_key
    assert first.idempotency_key != second.idempotency_key
    assert request.idempotency_key == ""
    own = messages.ExecuteAgentRequest(idempotency_key="mine")
    assert with_key(own) is own
    without = messages.GetAgentRequest(agent_id="a")
    assert with_key(without) is without
