import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.files import reader
from catalogue.model import AgentDefinition
from catalogue.search.index import SearchIndex
from catalogue.synthetic import generate
from mesh.settings import DEFINITIONS
from tests.unit.orchestrator.making import definition


def found(words: str, *agents: AgentDefinition) -> list[int]:
    """The numbers of the agents found, in order."""
    numbers = {agent.agent_id: agent.number for agent in agents}
    return [numbers[each.agent_id] for each in SearchIndex(agents).find(words).matches]


@pytest.fixture(scope="module")
def shipped_size(tmp_path_factory: pytest.TempPathFactory) -> Sequence[AgentDefinition]:
    folder: Path = tmp_path_factory.mktemp("definitions") / "made_up"
    generate(1500, folder)
    return reader.read(folder).agents


def other(number: int, **fields: object) -> AgentDefinition:
    """An agent that shares no word with the queries of the tests."""
    role = str(fields.pop("role", "clerk"))
    plain = {"name": "Plain", "description": "Does things.", "tags": (), "category": "legal", "agent_id": f"x_agent_1_{number}"}
    return definition(number, role=role, **{**plain, **fields})


def test_a_match_in_the_name_ranks_above_one_in_the_description() -> None:
    agents = other(1, description="Negotiates contracts."), other(2, name="Contract Negotiator"), other(3)
    assert found("negotiat", *agents) == [2, 1]


def test_matches_rank_by_name_then_role_then_tags_then_the_rest() -> None:
    agents = [
        other(1, description="About pricing."),
        other(2, category="pricing"),
        other(3, tags=("pricing",)),
        other(4, role="pricing"),
        other(5, name="Pricing"),
    ]
    ranked = found("pricing", *agents)
    assert (ranked[:3], set(ranked[3:])) == ([5, 4, 3], {1, 2})


def test_an_agent_is_found_by_the_words_of_its_queries() -> None:
    """They are worth less than its name."""
    agents = other(1, queries=("my parcel never arrived",)), other(2), other(3, name="Parcel Clerk")
    assert found("parcel", *agents) == [3, 1]
    assert found("it never arrived", *agents) == [1]


def test_equal_matches_keep_the_order_of_the_catalogue() -> None:
    assert found("plain", *(other(number) for number in (3, 1, 2))) == [3, 1, 2]


def test_only_agents_with_every_word_match_in_any_order_of_words() -> None:
    agents = other(1, name="Email Writer"), other(2, name="Writer", tags=("email",)), other(3, name="Email"), other(4, name="Writer")
    assert sorted(found("writer email", *agents)) == [1, 2]


def test_a_word_that_no_agent_has_is_ignored() -> None:
    assert found("email zebra", other(1, name="Email Writer"), other(2, name="Plumber")) == [1]


@pytest.mark.parametrize("words", ["newsleter", "newlsetter", "nwesletter", "newsletterr", "NEWSLTTER"])
def test_a_misspelt_word_is_found(words: str) -> None:
    assert found(words, other(1, name="Newsletter Writer"), other(2)) == [1]


def test_short_words_are_not_corrected() -> None:
    assert found("tyx", other(1, name="Tax Clerk"), other(2)) == []


SENTENCES = [
    ("seo audit of a shop", "seo_strategist"),
    ("help me write an email sequence for abandoned carts", "email_marketer"),
    ("I need a headline for my landing page, the current one does not convert", "copywriter"),
    ("our churn went up, which customers should we win back first?", "lifecycle_marketer"),
    ("Which of my Google Ads keywords waste money?", "paid_media_manager"),
]


@pytest.mark.parametrize(("sentence", "role"), SENTENCES)
def test_a_sentence_finds_the_right_role_first(sentence: str, role: str) -> None:
    result = SHIPPED.find(sentence)
    assert f"_{role}_" in result.matches[0].agent_id


def test_a_word_of_an_example_or_a_task_finds_an_agent_after_those_that_it_describes() -> None:
    """An example may mention anything, so it does not make an agent one with every word."""
    agents = other(1, examples=("Our pricing page is slow.",)), other(2, tags=("pricing",)), other(3)
    assert found("the page with our pricing is slow to everybody", *agents) == [2, 1]
    assert found("pricing", *agents) == [2]


def test_a_search_in_another_language_is_put_into_english() -> None:
    agents = other(1, name="Invoice Clerk"), other(2, name="Newsletter Writer"), other(3)
    for sentence in ("Die Rechnungen sind falsch", "las facturas no son correctas", "il y a une erreur dans les factures"):
        assert found(sentence, *agents)[0] == 1


def test_a_query_in_another_language_is_indexed_in_english_too() -> None:
    assert found("who writes an invoice for us", other(1, queries=("Wer schreibt uns eine Rechnung",)), other(2))[0] == 1


def test_an_unmatched_query_names_the_nearest_agents() -> None:
    result = SHIPPED.find("write a limerick")
    assert (len(result.matches), len(result.nearest)) == (0, 5)


SHIPPED_AGENTS = reader.read(DEFINITIONS / "marketing").agents
SHIPPED = SearchIndex(SHIPPED_AGENTS)


@pytest.mark.parametrize("length", range(1, len("marketing") + 1))
def test_a_word_is_found_by_every_prefix(length: int) -> None:
    assert found("marketing"[:length], other(1, name="Marketing Lead"), other(2, name="Zoo Keeper")) == [1]


@pytest.mark.parametrize("words", ["strategies", "strategy", "STRATEGY", "Strategy.", "strategy strategies"])
def test_a_word_is_found_by_its_other_forms(words: str) -> None:
    assert found(words, other(1, description="Writes the strategy."), other(2)) == [1]


def test_a_word_is_not_found_by_its_middle() -> None:
    assert found("ket", other(1, name="Marketing Lead")) == []


@pytest.mark.parametrize("words", ["cafe", "Café", "CAFÉ", "cafe\u0301"])
def test_accents_are_ignored(words: str) -> None:
    assert found(words, other(1, name="Café Owner"), other(2)) == [1]


@pytest.mark.parametrize("words", ["цена", "価格", "τιμή", "preis"])
def test_every_script_can_be_searched(words: str) -> None:
    assert found(words, other(1, description=f"Sets {words} each day."), other(2)) == [1]


@pytest.mark.parametrize("words", ["x_agent_1_42", "42", "agent_1_42"])
def test_an_id_and_its_parts_can_be_searched(words: str) -> None:
    assert found(words, other(42), other(7)) == [42]


@pytest.mark.parametrize(
    "words", ["", " ", '"', "*", "-", "()", '"" OR', "^", ":", "!?.,;", "\x00", "—", "🙂", "_", "'; DROP TABLE word; --"]
)
def test_a_query_without_indexed_words_finds_nothing(words: str) -> None:
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
def test_operators_of_the_query_language_are_plain_words(words: str) -> None:
    assert set(found(words, other(1, description="near and not name a i n l p 2"), other(2, name="Zoo"))) <= {1}


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_search(words: str) -> None:
    assert {each.agent_id for each in INDEX.find(words).matches} <= {"x_agent_1_1", "x_agent_1_2"}


INDEX = SearchIndex([other(1), other(2, name="ß ﬁ İ ª ² Ⅷ 日本")])


def test_an_empty_catalogue_finds_nothing() -> None:
    assert found("marketing") == []


def seconds(index: SearchIndex, words: str) -> float:
    """CPU seconds, the least of several runs: the machine may have other work."""

    def once() -> float:
        began = time.thread_time()
        index.find(words)
        return time.thread_time() - began

    return min(once() for _ in range(15))


@pytest.mark.slow
@pytest.mark.parametrize("words", ["marketing", "strateg", "forecasting", "m", "finance auditor review", "sales_strategist_agent_1_101"])
def test_a_typical_search_of_1500_agents_takes_a_few_milliseconds(shipped_size: Sequence[AgentDefinition], words: str) -> None:
    index = SearchIndex(shipped_size)
    assert index.find(words).matches
    assert seconds(index, words) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("words", [" ".join("taceiodsmwnr" * 42), " ".join(f"wrod{number}x" for number in range(150)), "qwertyx " * 125])
def test_the_longest_query_does_not_block_the_event_loop(shipped_size: Sequence[AgentDefinition], words: str) -> None:
    index = SearchIndex(shipped_size)
    assert seconds(index, words[:1000]) < 0.025


@pytest.mark.slow
def test_reindexing_1500_agents_is_fast(shipped_size: Sequence[AgentDefinition]) -> None:
    """Only the agents that changed are tokenized again."""
    before = SearchIndex(shipped_size)
    began = time.thread_time()
    after = SearchIndex(shipped_size)
    assert time.thread_time() - began < 0.5
    assert after.find("marketing") == before.find("marketing")


def test_a_query_that_is_left_out_ranks_as_if_it_were_not_indexed() -> None:
    """Compared with an index that was built without the query."""
    agents = [
        other(1, name="Parcel Clerk", queries=("my parcel is lost", "parcel insurance claim")),
        other(2, description="Insures parcels and claims.", queries=("who insures a parcel", "late invoice")),
        other(3, description="Pays invoices.", queries=("an invoice is late",)),
    ]
    seen = 0
    for agent, query, first in SearchIndex(agents).first_without_query(agents, 5):
        without = [replace(each, queries=tuple(one for one in each.queries if one != query)) if each is agent else each for each in agents]
        assert first == [each.agent_id for each in SearchIndex(without).find(query).matches], query
        seen += 1
    assert seen == 5
