"""Page sizes and page tokens."""

from uuid import UUID

import pytest
from agentmesh.execution.v1.execution_service_pb2 import ListExecutionsRequest
from uuid_utils.compat import uuid7

from mesh.errors import ValidationFailed
from mesh.rpc.requests.paging import number_token, page_size, page_token, read_number_token, read_page_token


@pytest.mark.parametrize(("asked", "given"), [(None, 50), (1, 1), (200, 200), (201, 200), (2**31 - 1, 200)])
def test_a_page_has_50_items_or_as_many_as_asked_for_up_to_200(asked: int | None, given: int) -> None:
    assert page_size(ListExecutionsRequest(page_size=asked)) == given


def test_a_token_returns_the_id_that_it_was_made_of() -> None:
    last: UUID = uuid7()
    assert read_page_token(page_token(last)) == last
    assert read_page_token("") is None


@pytest.mark.parametrize("last", [0, 1, 255, 2**63 - 1])
def test_a_token_returns_the_number_that_it_was_made_of(last: int) -> None:
    assert read_number_token(number_token(last)) == last
    assert read_number_token("") is None


@pytest.mark.parametrize("token", ["x", "!!!!", "é", page_token(UUID(int=2**128 - 1)), number_token(7)[:-4], "_________38="])
def test_a_token_that_no_page_returned_is_refused(token: str) -> None:
    with pytest.raises(ValidationFailed, match="next_page_token"):
        read_number_token(token)
    if len(token) != len(page_token(UUID(int=0))):
        with pytest.raises(ValidationFailed, match="next_page_token"):
            read_page_token(token)
