"""Recommended agents: their order, scores, reasons and estimates."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from catalogue.files import reader
from catalogue.model import AgentDefinition, Border, Output
from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from catalogue.search.fit import LEAST_FITTING, Request, fit
from catalogue.search.index import SearchIndex
from mesh.errors import ServiceUnavailable
from mesh.settings import DEFINITIONS
from orchestrator.executions.books import Books
from orchestrator.executions.estimates import CallEstimates
from orchestrator.executions.ports import Typical
from orchestrator.registry.model import AgentQuery, Recommendations
from orchestrator.registry.recommending import MOST_RECOMMENDATIONS, Recommender
from orchestrator.registry.service import RegistryService
from tests.unit.orchestrator.making import MODEL, catalogue, definition, work
from tests.unit.orchestrator.test_registry import OneAnswer

PRICES = PriceBook.load()
TASKS = {
    1: ("11-2021.00", "Write newsletters for customers."),
    2: ("11-2021.00", "Test subject lines of newsletters."),
    3: ("13-2011.00", "Audit the books of companies."),
}


@dataclass
class Measured:
    """Figures of some agents; an unavailable store if `figures` is None."""

    figures: Mapping[str, Typical] | None = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def of(self, agent_ids: Sequence[str]) -> Mapping[str, Typical]:
        self.asked += agent_ids
        if self.figures is None:
            raise ServiceUnavailable("the database cannot be reached")
        return self.figures


def registry(*agents: AgentDefinition, measured: Measured | None = None) -> RegistryService:
    served = catalogue(*agents)
    recommender = Recommender(CallEstimates(Books(PRICES, lambda _: False), measured or Measured()), TASKS)
    return RegistryService(served, ModelNames(PRICES, MODEL), 0, OneAnswer(), SearchIndex(served.agents), recommender)


def named(number: int, name: str, description: str, **fields: object) -> AgentDefinition:
    agent_id = f"office_clerk_agent_1_{number}"
    plain = {"role": "clerk", "category": "office", "tags": (), "focus": "", "max_tokens": 4096}
    return definition(number, **{**plain, "agent_id": agent_id, "name": name, "description": description, **fields})


NEWS = named(
    1,
    "Newsletter Writer",
    "Writes newsletters that customers read.",
    tasks=(3, 1, 2),
    tags=("email",),
    not_for=(Border("Audit a mailing list.", "office_clerk_agent_1_2"), Border("Sell by phone.", "office_clerk_agent_1_9")),
    output=Output(("text",), 300),
)
AUDIT = named(2, "Auditor", "Audits lists and books.", tasks=(3,))
PLAIN = named(3, "Planner", "Plans the weekly newsletter.", model="claude-haiku-5-5", max_tokens=100)
OFFICE = registry(NEWS, AUDIT, PLAIN)


def recommended(task: str, service: RegistryService = OFFICE, **wishes: object) -> Recommendations:
    return asyncio.run(service.recommend(AgentQuery(search=task, **wishes)))  # type: ignore[arg-type]


def test_the_best_agent_is_first_and_scores_fall() -> None:
    found = recommended("newsletter")
    assert [each.agent.definition.number for each in found.items] == [1, 3]
    scores = [each.score for each in found.items]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= min(scores) <= max(scores) <= 1


def test_a_reason_names_the_matching_tasks_best_first_and_who_does_the_rest() -> None:
    (first, *_) = recommended("which subject line for the newsletter to my mailing list?").items
    assert first.matching_tasks == ["Test subject lines of newsletters.", "Write newsletters for customers."]
    assert first.reason == (
        "Two of its tasks are “Test subject lines of newsletters” and “Write newsletters for customers”; "
        "for “Audit a mailing list”, take Auditor (office_clerk_agent_1_2) instead."
    )


def test_a_reason_without_a_matching_task_names_the_shared_words() -> None:
    first = next(each for each in recommended("plan the newsletter of this week").items if each.agent.definition.number == 3)
    assert (first.reason, first.matching_tasks) == ("Its name, tags or description have the words plans, weekly, newsletter.", [])


def test_a_border_to_an_agent_that_is_not_served_is_not_mentioned() -> None:
    alone = registry(NEWS)
    assert all("instead" not in each.reason for each in recommended("sell the newsletter by phone", alone).items)


def test_filters_and_the_limit_apply() -> None:
    assert {each.agent.definition.number for each in recommended("newsletter", tags=frozenset({"email"})).items} == {1}
    assert len(recommended("newsletter", limit=1).items) == 1
    nothing = recommended("newsletter", category="nowhere")
    assert (nothing.items, nothing.no_fit) == ([], True)
    many = registry(*(named(number, f"Newsletter Writer {number}", "Writes newsletters.") for number in range(1, 60)))
    assert len(recommended("write newsletters", many, limit=50).items) == MOST_RECOMMENDATIONS


@pytest.mark.parametrize("task", ["repair the gearbox of a tractor", "?!", "xyzzy"])
def test_work_that_no_agent_is_made_for_is_said_to_fit_nobody(task: str) -> None:
    found = recommended(task)
    assert found.no_fit
    assert all(each.score < LEAST_FITTING for each in found.items)


def test_the_estimate_is_the_price_of_the_typical_and_of_the_longest_answer() -> None:
    """The longest answer costs what the orchestrator reserves for the call."""
    task = "newsletter"
    by_number = {each.agent.definition.number: each for each in recommended(task).items}
    for recommendation in by_number.values():
        intent = Books(PRICES, lambda _: False).intent(work(input=task, context=None), recommendation.agent, streamed=False)
        assert recommendation.estimate.max_cost_micro_usd == intent.worst_case.cost_micro_usd
        assert 0 < recommendation.estimate.cost_micro_usd < recommendation.estimate.max_cost_micro_usd
    assert by_number[1].estimate.seconds == 11.0  # 300 words are 600 tokens
    assert by_number[3].estimate.seconds < 2  # half of 100 tokens
    assert by_number[3].estimate.cost_micro_usd < by_number[1].estimate.cost_micro_usd


def test_measured_figures_replace_the_guess_and_are_read_once_a_minute() -> None:
    ids = [NEWS.agent_id, AUDIT.agent_id]
    measured = Measured({ids[0]: Typical(20, 123, 400, 3.21, 9.0), ids[1]: Typical(19, 123, 400, 3.21, 9.0)})
    service = registry(NEWS, AUDIT, measured=measured)
    for _ in range(3):
        found = {each.agent.definition.agent_id: each.estimate for each in recommended("newsletter audit", service).items}
        assert (found[ids[0]].cost_micro_usd, found[ids[0]].seconds) == (123, 3.2)
        assert found[ids[1]].cost_micro_usd != 123, "19 executions are too few"
    assert sorted(measured.asked) == sorted(ids)


def test_without_the_database_the_estimate_is_the_guess() -> None:
    unavailable = registry(NEWS, AUDIT, PLAIN, measured=Measured(None))
    assert [each.estimate for each in recommended("newsletter", unavailable).items] == [
        each.estimate for each in recommended("newsletter").items
    ]


def test_the_score_rises_with_the_search_score_and_with_the_length_of_the_text() -> None:
    fits = list(fit(np.linspace(0, 1.45, 131), Request(8, 0.4, 0.3)))
    assert fits == sorted(fits)
    assert 0 <= fits[0] < fits[-1] <= 1
    few, many = (fit(np.array([0.1]), Request(words, 0.4, 0.3)) for words in (4, 40))
    assert many > few


def test_the_score_falls_if_the_work_is_like_what_no_agent_can_do() -> None:
    near, far = (fit(np.array([0.2]), Request(8, 0.4, out_of_reach)) for out_of_reach in (0.9, 0.1))
    assert near < far


UNRELATED = ["Weld the pipes.", "water the cactus please", "carry the piano upstairs with me", "wipe the floor and the shelves"]
RELATED = [
    ("our newsletter lands in the spam folder since monday", "email_marketer"),
    ("write google ads headlines for a dentist", "paid_media_manager"),
    ("audit why google does not index our product pages", "seo_strategist"),
]


@pytest.fixture(scope="module")
def shipped() -> RegistryService:
    agents = reader.read(Path(DEFINITIONS) / "marketing").agents
    return registry(*agents)


@pytest.mark.parametrize("task", UNRELATED)
def test_the_shipped_catalogue_refuses_unrelated_work(shipped: RegistryService, task: str) -> None:
    assert recommended(task, shipped).no_fit


@pytest.mark.parametrize(("task", "role"), RELATED)
def test_the_shipped_catalogue_recommends_an_agent_of_the_right_role(shipped: RegistryService, task: str, role: str) -> None:
    found = recommended(task, shipped)
    assert not found.no_fit
    assert role in {each.agent.definition.role for each in found.items}
