"""The correlation id of a request."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import correlation

FORM = re.compile(r"req_[A-Za-z0-9_-]{1,60}")


@given(st.from_regex(FORM, fullmatch=True))
def test_a_well_formed_id_is_kept(given_id: str) -> None:
    assert correlation.adopt(given_id) == given_id
    assert correlation.current() == given_id


@given(st.text().filter(lambda text: not FORM.fullmatch(text)))
def test_a_malformed_id_is_replaced_by_a_well_formed_one(given_id: str) -> None:
    adopted = correlation.adopt(given_id)
    assert adopted != given_id
    assert FORM.fullmatch(adopted)


@pytest.mark.parametrize(
    "given_id", ["req_", "req_" + "a" * 61, "req_a\n", "req_a b", " req_a", "REQ_a", "req_ä", "req_a\r\nx-evil: 1", "", None]
)
def test_ids_just_outside_the_form_are_replaced(given_id: str | None) -> None:
    assert correlation.adopt(given_id) != given_id


def test_new_ids_differ() -> None:
    assert len({correlation.adopt(None) for _ in range(1_000)}) == 1_000


async def test_each_task_has_its_own_id() -> None:
    async def one(given_id: str) -> str:
        correlation.adopt(given_id)
        await asyncio.sleep(0)
        return correlation.current()

    ids = [f"req_{number}" for number in range(20)]
    assert await asyncio.gather(*(one(given_id) for given_id in ids)) == ids
