"""Token usage travels with an error, so that the books record the cost of a failed call."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import RemoteError
from mesh.rpc.convert import usage_from_proto, usage_to_proto
from mesh.rpc.status import error_of
from mesh.usage import TokenUsage
from tests.unit.mesh.conftest import AsReceived

tokens = st.integers(0, 2**31 - 1)
usages = st.builds(TokenUsage, st.text(max_size=60), tokens, tokens, tokens, tokens, st.booleans())


@given(usages)
def test_usage_survives_the_details_of_an_error(usage: TokenUsage) -> None:
    details = usage.to_details()
    assert all(isinstance(value, str) for value in details.values())
    assert TokenUsage.from_details({**details, "agent_id": "a_agent_1_1"}) == usage


@given(usages)
def test_usage_survives_the_contract(usage: TokenUsage) -> None:
    assert usage_from_proto(usage_to_proto(usage)) == usage


def test_usage_arrives_with_long_details(as_received: AsReceived) -> None:
    usage = TokenUsage("claude-sonnet-5-5", 100, 200, 300, 400, estimated=True)
    error = error_of(as_received(RemoteError("LLM_API_ERROR", "x", details={"noise": "n" * 10_000, **usage.to_details()})))
    assert error is not None
    assert TokenUsage.from_details(error.details) == usage


def test_an_error_that_bought_nothing_has_no_usage() -> None:
    assert TokenUsage.from_details({"provider_status": "429"}) is None
