"""Page sizes and page tokens."""

from uuid import UUID

import pytest
from agentmesh.execution.v1.execution_service_pb2 import ListExecutionsRequest
from uuid_utils.compat import uuid7

from mesh.errors import ValidationFailed
from mesh.rpc.requests.paging import number_token, page_size, page_token, read_number_token, read_page_token, read_text_token, text_token


@pytest.mark.parametrize(("asked", "given"), [(None, 50), (1, 1), (200, 200), (201, 200), (2**31 - 1, 200)])
def test_page_size_defaults_to_50_and_is_limited_to_200(asked: int | None, given: int) -> None:
    assert page_size(ListExecutionsRequest(page_size=asked)) == given


def test_a_page_token_contains_the_id() -> None:
    last: UUID = uuid7()
    assert read_page_token(page_token(last)) == last
    assert read_page_token("") is None


@pytest.mark.parametrize("last", [0, 1, 255, 2**63 - 1])
def test_a_page_token_contains_the_number(last: int) -> None:
    assert read_number_token(number_token(last)) == last
    assert read_number_token("") is None


@pytest.mark.parametrize("last", ["a", "1:b:ä", "x" * 200])
def test_a_token_returns_the_text_that_it_was_made_of(last: str) -> None:
    assert read_text_token(text_token(last)) == last
    assert read_text_token("") is None


@pytest.mark.parametrize("token", ["x", "!!!!", "é", "_w=="])
def test_a_token_that_is_no_text_is_refused(token: str) -> None:
    with pytest.raises(ValidationFailed, match="next_page_token"):
        read_text_token(token)


@pytest.mark.parametrize("token", ["x", "!!!!", "é", page_token(UUID(int=2**128 - 1)), number_token(7)[:-4], "_________38="])
def test_an_invalid_page_token_is_refused(token: str) -> None:
    with pytest.raises(ValidationFailed, match="next_page_token"):
        read_number_token(token)
    if len(token) != len(page_token(UUID(int=0))):
        with pytest.raises(ValidationFailed, match="next_page_token"):
            read_page_token(token)
