"""The ids most similar to one that does not exist."""

from time import perf_counter

from catalogue.nearest import NearestIds

IDS = [f"{role}_agent_{family}_{number}" for number in range(1, 1501) for family, role in [(number % 100, f"marketing_{number % 37}_seo")]]


def test_a_misspelt_id_finds_the_intended_one() -> None:
    ids = NearestIds(["marketing_seo_agent_1_1", "finance_audit_agent_2_2", "legal_contracts_agent_3_3"])
    assert ids.to("marketng_seo_agent_1_1")[0] == "marketing_seo_agent_1_1"
    assert ids.to("Finance-Audit")[0] == "finance_audit_agent_2_2"


def test_at_most_three_ids_are_named_and_all_are_similar() -> None:
    ids = NearestIds(["aaa_1", "aaa_2", "aaa_3", "aaa_4"])
    assert len(ids.to("aaa")) == 3
    assert ids.to("zzz") == []
    assert ids.to("") == []


def test_a_lookup_in_1500_agents_takes_milliseconds() -> None:
    ids = NearestIds(IDS)
    ids.to("x")
    began = perf_counter()
    for _ in range(20):
        ids.to("marketing_seo_agent_" * 10)
    assert (perf_counter() - began) / 20 < 0.05
