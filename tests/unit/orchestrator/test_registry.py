from collections.abc import Mapping, Sequence

import pytest
from agentmesh.registry.v1 import registry_service_pb2 as pb

from catalogue.catalogue import Catalogue
from catalogue.errors import AgentNotFound
from catalogue.model import AgentDefinition
from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from catalogue.search.index import SearchIndex
from orchestrator.registry import convert
from orchestrator.registry.model import AgentOrder, AgentPage, AgentQuery, FacetCount, Facets, HealthState, Measured
from orchestrator.registry.service import RegistryService
from tests.unit.orchestrator.making import catalogue, definition

DEFAULT_MODEL = "claude-sonnet-5-5"


class OneAnswer:
    """Reports the same health for every agent, and records which ones were checked."""

    def __init__(self, state: HealthState = HealthState.SERVING) -> None:
        self.state = state
        self.asked: list[tuple[str, int]] = []

    async def check(self, agent_id: str, port: int) -> HealthState:
        self.asked.append((agent_id, port))
        return self.state


class KnownFigures:
    """What was measured of some agents."""

    def __init__(self, figures: Mapping[str, Measured]) -> None:
        self._figures = figures

    def of(self, agent_id: str) -> Measured | None:
        return self._figures.get(agent_id)


def registry(agents: Catalogue, probe: OneAnswer | None = None, offset: int = 0) -> RegistryService:
    return RegistryService(agents, ModelNames(PriceBook.load(), DEFAULT_MODEL), offset, probe or OneAnswer(), SearchIndex(agents.agents))


def legal(number: int) -> AgentDefinition:
    return definition(number, agent_id=f"legal_clerk_agent_1_{number}", category="legal", role="clerk", name=f"Clerk {number}")


def numbers(registry: RegistryService, category: str = "", search: str = "", limit: int = 50, offset: int = 0) -> Sequence[int]:
    page = registry.list(AgentQuery(category=category, search=search, limit=limit, offset=offset))
    return [listed.definition.number for listed in page.agents]


MANY = registry(catalogue(*(definition(number) for number in range(1, 301)), *(legal(number) for number in range(301, 311))))


def test_agents_are_listed_by_number() -> None:
    assert numbers(registry(catalogue(definition(30), definition(4), definition(200)))) == [4, 30, 200]


def test_a_page_has_what_was_measured_of_its_agents_and_nothing_of_others() -> None:
    agents = catalogue(*(definition(number) for number in range(1, 6)))
    figures = {agents.agents[index].agent_id: Measured(7, 0.875, 2.5, 12_000) for index in (1, 4)}
    service = RegistryService(agents, ModelNames(PriceBook.load(), DEFAULT_MODEL), 0, OneAnswer(), measured=KnownFigures(figures))
    page = service.list(AgentQuery(limit=3))
    assert page.measured == {agents.agents[1].agent_id: Measured(7, 0.875, 2.5, 12_000)}
    shown = convert.page(page, pb.AGENT_VIEW_BASIC).measured[agents.agents[1].agent_id]
    assert (shown.calls, shown.completed_share, shown.seconds_p50, shown.cost_micro_usd_p50) == (7, 0.875, 2.5, 12_000)


def test_pages_have_no_gaps_and_no_repeats_and_each_has_the_total() -> None:
    pages = [MANY.list(AgentQuery(limit=47, offset=offset)) for offset in range(0, 320, 47)]
    assert [listed.definition.number for page in pages for listed in page.agents] == list(range(1, 311))
    assert {page.total for page in pages} == {310}


@pytest.mark.parametrize(("limit", "shown"), [(1, 1), (199, 199), (200, 200), (201, 200), (2**31 - 1, 200)])
def test_a_page_has_at_most_two_hundred_agents(limit: int, shown: int) -> None:
    assert len(numbers(MANY, limit=limit)) == shown


def test_an_offset_beyond_the_end_returns_an_empty_page_and_the_total() -> None:
    page = MANY.list(AgentQuery(offset=2**31 - 1))
    assert (page.agents, page.total) == ([], 310)


def test_a_category_filter_returns_only_its_agents() -> None:
    assert numbers(MANY, "legal") == list(range(301, 311))
    assert MANY.list(AgentQuery(category="legal", limit=3, offset=8)).total == 10


def test_an_unknown_category_has_no_agents() -> None:
    page = MANY.list(AgentQuery(category="Legal"))
    assert (page.agents, page.total) == ([], 0)


def test_search_and_category_can_be_combined() -> None:
    assert numbers(MANY, "legal", "clerk 305") == [305]
    assert numbers(MANY, "marketing", "clerk") == []


def test_search_results_are_paged() -> None:
    page = MANY.list(AgentQuery(search="clerk", limit=4, offset=8))
    assert (len(page.agents), page.total) == (2, 10)


def test_facets_count_the_matching_agents_and_ignore_their_own_filter() -> None:
    agents = registry(catalogue(definition(1, tags=("a", "b")), definition(2, tags=("a",)), legal(3), legal(4)))
    page = agents.list(AgentQuery(category="legal"))
    assert page.total == 2
    assert page.facets.categories == [FacetCount("legal", 2), FacetCount("marketing", 2)]
    assert page.facets.roles == [FacetCount("clerk", 2)]
    both = agents.list(AgentQuery(tags=frozenset({"a", "b"})))
    assert [listed.definition.number for listed in both.agents] == [1]
    assert both.facets.tags == [FacetCount("a", 1), FacetCount("b", 1)]


def test_a_list_can_be_filtered_by_role_and_sorted_by_name() -> None:
    agents = registry(catalogue(definition(1, name="zebra"), definition(2, name="Apple"), legal(3)))
    page = agents.list(AgentQuery(role="seo_strategist", order=AgentOrder.NAME))
    assert [listed.definition.number for listed in page.agents] == [2, 1]


def test_a_search_without_matches_names_the_nearest_agents_without_counting_them() -> None:
    agents = registry(catalogue(definition(1), legal(2)))
    page = agents.list(AgentQuery(search="xylophone"))
    assert (page.agents, page.total) == ([], 0)
    assert page.nearest


def test_categories_are_listed_alphabetically_with_roles_and_sizes() -> None:
    agents = catalogue(definition(1, role="writer"), definition(2), legal(3), definition(4, role="analyst"), definition(5))
    listed = [(category.name, list(category.roles), category.agent_count) for category in registry(agents).categories()]
    assert listed == [("legal", ["clerk"], 1), ("marketing", ["analyst", "seo_strategist", "writer"], 4)]


def test_an_empty_catalogue_has_no_categories_agents_or_ports() -> None:
    empty = registry(catalogue())
    assert (empty.list(AgentQuery()), empty.categories(), empty.ports()) == (AgentPage([], 0, Facets([], [], []), []), (), [])


def test_an_agent_is_shown_with_its_port_and_its_effective_model() -> None:
    agents = catalogue(definition(801), definition(2, model="claude-3-5-sonnet-20241022"), definition(3, model="claude-opus-5"))
    shown = registry(agents, offset=10_000)
    assert shown.get("marketing_seo_strategist_agent_1_801").port == 18_201
    models = [shown.get(f"marketing_seo_strategist_agent_1_{number}").model for number in (801, 2, 3)]
    assert models == [DEFAULT_MODEL, "claude-sonnet-5-5", "claude-opus-5"]


def test_an_unknown_agent_is_not_found() -> None:
    with pytest.raises(AgentNotFound) as missing:
        MANY.get("marketing_seo_strategist_agent_1_999")
    assert missing.value.details["agent_id"] == "marketing_seo_strategist_agent_1_999"
    assert missing.value.details["nearest"].startswith("marketing_seo_strategist_agent_1_")


def test_ports_are_listed_once_each_in_order() -> None:
    assert registry(catalogue(definition(801), definition(1), definition(7)), offset=100).ports() == [8301, 8307]


def test_a_new_catalogue_is_visible_at_once_in_lists_search_and_categories() -> None:
    changing = registry(catalogue(definition(1)))
    changed = catalogue(legal(2))
    changing.renew(changed, SearchIndex(changed.agents))
    assert (numbers(changing), numbers(changing, search="clerk"), numbers(changing, search="seo")) == ([2], [2], [])
    assert [category.name for category in changing.categories()] == ["legal"]
    with pytest.raises(AgentNotFound):
        changing.get("marketing_seo_strategist_agent_1_1")


async def test_health_is_what_the_agent_reports_on_its_port() -> None:
    probe = OneAnswer(HealthState.NOT_SERVING)
    health = await registry(catalogue(definition(801)), probe).check_health("marketing_seo_strategist_agent_1_801")
    assert (health.state, health.port) == (HealthState.NOT_SERVING, 8201)
    assert health.latency_seconds > 0
    assert probe.asked == [("marketing_seo_strategist_agent_1_801", 8201)]


async def test_an_unreachable_agent_has_no_latency() -> None:
    silent = registry(catalogue(definition(1)), OneAnswer(HealthState.UNREACHABLE))
    assert (await silent.check_health("marketing_seo_strategist_agent_1_1")).latency_seconds == 0


async def test_the_health_of_an_unknown_agent_is_not_checked() -> None:
    probe = OneAnswer()
    with pytest.raises(AgentNotFound):
        await registry(catalogue(), probe).check_health("marketing_seo_strategist_agent_1_1")
    assert probe.asked == []
