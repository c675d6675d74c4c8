"""Compares the platform's books with the provider's log."""

from collections import Counter
from typing import Any

from tests.e2e.platform import Platform
from tests.support.waiting import eventually

TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}
"""The columns of the books and the provider's names for them."""


async def check_books(platform: Platform) -> int:
    """Assert that every purchase is recorded once, at no less than its price; returns the number of purchases.

    No execution is open, and each has its one event.
    """
    await eventually(lambda: _nothing_is_open(platform), 60)
    rows = {str(row["execution_id"]): row for row in await platform.sql("SELECT * FROM executions")}
    billed = [line for line in platform.provider.entries() if line["billed"] and line["outcome"] != "started"]
    assert max(Counter(line["execution_id"] for line in billed).values(), default=0) <= 1
    for line in billed:
        _check_purchase(rows[line["execution_id"]], line)
    paid = {line["execution_id"] for line in billed}
    assert paid >= {execution_id for execution_id, row in rows.items() if row["status"] == "completed"}
    await _check_events(platform, set(rows))
    return len(billed)


async def _nothing_is_open(platform: Platform) -> bool:
    open_rows = await platform.sql("SELECT execution_id FROM executions WHERE status = 'running'")
    return not open_rows and await platform.provider.idle()


def _check_purchase(row: Any, line: dict[str, Any]) -> None:
    assert row["model"] is not None, (dict(row), line)
    assert row["cost_micro_usd"] > 0
    booked = {name: row[name] for name in TOKENS}
    billed = {name: line[key] for name, key in TOKENS.items()}
    if row["usage_estimated"]:  # an upper bound; cached tokens cost less than the estimate
        inputs = [sum(tokens[name] for name in TOKENS if name != "output_tokens") for tokens in (booked, billed)]
        assert inputs[0] >= inputs[1]
        # Text that was in flight when a client disconnected was not received.
        assert booked["output_tokens"] >= billed["output_tokens"] or line["outcome"] == "client_gone"
    else:
        assert booked == billed


async def _check_events(platform: Platform, executions: set[str]) -> None:
    events = await platform.sql("SELECT data ->> 'execution_id' AS id FROM outbox WHERE event_type = 'agent.executed'")
    assert Counter(event["id"] for event in events) == Counter(executions)
