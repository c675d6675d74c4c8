import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.files import reader
from catalogue.model import AgentDefinition
from catalogue.synthetic import generate
from orchestrator.adapters.registry.search import SqliteSearchIndex
from tests.unit.orchestrator.making import definition


def found(words: str, *agents: AgentDefinition) -> list[int]:
    """The numbers of the agents found, in order."""
    numbers = {agent.agent_id: agent.number for agent in agents}
    return [numbers[agent_id] for agent_id in SqliteSearchIndex(agents).find(words)]


@pytest.fixture(scope="module")
def shipped_size(tmp_path_factory: pytest.TempPathFactory) -> Sequence[AgentDefinition]:
    folder: Path = tmp_path_factory.mktemp("definitions") / "made_up"
    generate(1500, folder)
    return reader.read(folder).agents


def other(number: int, **fields: object) -> AgentDefinition:
    """An agent whose words are not those that the tests look for."""
    role = str(fields.pop("role", "clerk"))
    plain = {"name": "Plain", "description": "Does things.", "tags": (), "category": "legal", "agent_id": f"x_agent_1_{number}"}
    return definition(number, role=role, **{**plain, **fields})


def test_a_hit_in_the_name_comes_before_one_in_the_description() -> None:
    agents = other(1, description="Negotiates contracts."), other(2, name="Contract Negotiator"), other(3)
    assert found("negotiat", *agents) == [2, 1]


def test_name_role_tags_category_and_description_count_in_this_order() -> None:
    agents = [
        other(1, description="About pricing."),
        other(2, category="pricing"),
        other(3, tags=("pricing",)),
        other(4, role="pricing"),
        other(5, name="Pricing"),
    ]
    assert found("pricing", *agents) == [5, 4, 3, 2, 1]


def test_agents_that_match_alike_come_in_the_order_of_the_catalogue() -> None:
    assert found("plain", *(other(number) for number in (3, 1, 2))) == [3, 1, 2]


def test_every_word_must_occur_anywhere_and_in_any_order() -> None:
    agents = other(1, name="Email Writer"), other(2, name="Writer", tags=("email",)), other(3, name="Email"), other(4, name="Writer")
    assert sorted(found("writer email", *agents)) == [1, 2]


@pytest.mark.parametrize("length", range(1, len("marketing") + 1))
def test_a_word_is_found_by_every_beginning(length: int) -> None:
    assert found("marketing"[:length], other(1, name="Marketing Lead"), other(2, name="Zoo Keeper")) == [1]


@pytest.mark.parametrize("words", ["strategies", "strategy", "STRATEGY", "Strategy.", "strategy strategies"])
def test_a_word_is_found_by_its_other_forms(words: str) -> None:
    assert found(words, other(1, description="Writes the strategy."), other(2)) == [1]


def test_the_middle_of_a_word_is_not_its_beginning() -> None:
    assert found("ket", other(1, name="Marketing Lead")) == []


@pytest.mark.parametrize("words", ["cafe", "Café", "CAFÉ", "cafe\u0301"])
def test_accents_do_not_matter(words: str) -> None:
    assert found(words, other(1, name="Café Owner"), other(2)) == [1]


@pytest.mark.parametrize("words", ["цена", "価格", "τιμή", "preis"])
def test_every_script_can_be_searched(words: str) -> None:
    assert found(words, other(1, description=f"Sets {words} each day."), other(2)) == [1]


@pytest.mark.parametrize("words", ["x_agent_1_42", "x agent 1 42", "42", "agent_1_42"])
def test_an_id_and_its_parts_can_be_searched(words: str) -> None:
    assert found(words, other(42), other(7)) == [42]


@pytest.mark.parametrize(
    "words", ["", " ", '"', "*", "-", "()", '"" OR', "^", ":", "!?.,;", "\x00", "—", "🙂", "_", "'; DROP TABLE word; --"]
)
def test_a_search_without_words_that_occur_finds_nothing(words: str) -> None:
    assert found(words, other(1), other(2)) == []


HOSTILE = [
    '"plain',
    "plain*",
    "NEAR(plain, 2)",
    "plain AND",
    "NOT plain",
    "name : plain",
    "-plain",
    "{plain}",
    "plain^",
    "p*l*a*i*n",
    "+plain",
]


@pytest.mark.parametrize("words", HOSTILE)
def test_the_query_language_of_the_engine_is_only_words(words: str) -> None:
    assert set(found(words, other(1, description="near and not name a i n l p 2"), other(2, name="Zoo"))) <= {1}


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=200))
def test_no_text_whatsoever_breaks_the_search(words: str) -> None:
    assert set(INDEX.find(words)) <= {"x_agent_1_1", "x_agent_1_2"}


INDEX = SqliteSearchIndex([other(1), other(2, name="ß ﬁ İ ª ² Ⅷ 日本")])


def test_an_empty_catalogue_finds_nothing() -> None:
    assert found("marketing") == []


def seconds(index: SqliteSearchIndex, words: str) -> float:
    """Of the processor, the quickest of several: the machine may have other work."""

    def once() -> float:
        began = time.thread_time()
        index.find(words)
        return time.thread_time() - began

    return min(once() for _ in range(15))


@pytest.mark.parametrize("words", ["marketing", "strateg", "forecasting", "m", "finance auditor review", "sales_strategist_agent_1_101"])
def test_a_usual_search_among_1500_agents_takes_a_few_milliseconds(shipped_size: Sequence[AgentDefinition], words: str) -> None:
    index = SqliteSearchIndex(shipped_size)
    assert index.find(words)
    assert seconds(index, words) < 0.01


def test_the_dearest_search_that_a_request_may_hold_does_not_hold_up_other_calls_for_long(shipped_size: Sequence[AgentDefinition]) -> None:
    index = SqliteSearchIndex(shipped_size)
    assert seconds(index, " ".join("taceiodsmwnr" * 9)[:200]) < 0.25


def test_an_index_of_1500_agents_is_built_in_a_moment(shipped_size: Sequence[AgentDefinition]) -> None:
    began = time.thread_time()
    SqliteSearchIndex(shipped_size)
    assert time.thread_time() - began < 0.5
