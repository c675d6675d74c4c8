"""The optional profile of a definition, which describes the agent to people and tools."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from catalogue.files.reader import read
from catalogue.model import Border, Case, Fact, Output
from catalogue.prompt import system_prompt

Text = Callable[..., str]
Write = Callable[..., Path]

FACT = "{claim: The fee is 2 EUR, source: Fee list 4, checked: 2026-11-01, check_again: 2027-05-01}"
FAMILY = f"facts: [{FACT}]\nmarkets: [any]\nrisk: low\n"
OWN = """\
    not_for: [{need: Write the whole letter., agent: marketing_strategist_agent_2_2}]
    queries: [who can check my letter, "¿quién revisa mi carta?"]
    tasks: [8823, 8824]
    facts: [{claim: A stamp costs 95 cents, source: "https://example.com/stamps", checked: 2026-10-01, check_again: 2027-01-01}]
    output: {parts: [verdict, reasons], words: 300, schema: {type: object}}
    cases:
      - input: Check this.
        context: {letter: Dear Sir}
        must: [{contains: Sir}, {json_path: $.a, equals: null}]
        must_not: [{matches: "(?i)as an ai"}]
    markets: [DE, AT]
    risk: high
"""


def test_an_agent_states_its_own_profile_and_inherits_that_of_its_family(folder: Path, write: Write, family: Text) -> None:
    """The family's markets and risk are defaults; its facts apply to every agent."""
    write("a.yaml", family(2, 1, extra=FAMILY) + OWN)
    catalogue = read(folder)
    assert catalogue.problems == ()
    own, plain = catalogue.agents
    fee = Fact("The fee is 2 EUR", "Fee list 4", date(2026, 11, 1), date(2027, 5, 1))
    assert own.not_for == (Border("Write the whole letter.", "marketing_strategist_agent_2_2"),)
    assert own.queries == ("who can check my letter", "¿quién revisa mi carta?")
    assert own.tasks == (8823, 8824)
    assert own.facts == (fee, Fact("A stamp costs 95 cents", "https://example.com/stamps", date(2026, 10, 1), date(2027, 1, 1)))
    assert own.output == Output(("verdict", "reasons"), 300, {"type": "object"})
    must = ({"contains": "Sir"}, {"json_path": "$.a", "equals": None})
    assert own.cases == (Case("Check this.", {"letter": "Dear Sir"}, must, ({"matches": "(?i)as an ai"},)),)
    assert (own.markets, own.risk) == (("DE", "AT"), "high")
    assert (plain.facts, plain.markets, plain.risk) == ((fee,), ("any",), "low")
    assert (plain.not_for, plain.queries, plain.tasks, plain.output, plain.cases) == ((), (), (), None, ())


def test_a_single_agent_states_its_facts_once(folder: Path, write: Write, single: Text) -> None:
    write("a.yaml", single(extra=FAMILY))
    write("b.yaml", single(8, extra="facts: []\n"))
    write("c.yaml", single(9))
    assert [None if agent.facts is None else len(agent.facts) for agent in read(folder).agents] == [1, 0, None]


def test_a_profile_is_not_part_of_the_prompt(folder: Path, write: Write, family: Text) -> None:
    path = write("a.yaml", family(1))
    bare = system_prompt(read(folder).agents[0])
    path.write_text(family(1, extra=FAMILY) + OWN.replace(", schema: {type: object}", ""))
    assert system_prompt(read(folder).agents[0]) == bare


def test_files_without_a_profile_keep_their_revisions(folder: Path, write: Write, family: Text) -> None:
    """The revision equals that of an earlier release, and any change of the profile changes it."""
    path = write("a.yaml", family(1))
    assert read(folder).agents[0].revision == "1bc7d17d9c10"
    revisions = set()
    for text in (family(1), family(1) + OWN, family(1) + OWN.replace("95 cents", "96 cents"), family(1, extra="risk: low\n")):
        path.write_text(text)
        revisions.add(read(folder).agents[0].revision)
    assert len(revisions) == 4


BROKEN = {
    "not_for without agent": ("    not_for: [{need: x}]\n", "line 12: agents[0].not_for[0].agent is missing; add it"),
    "a border to no id": ("    not_for: [{need: x, agent: sibling}]\n", "not_for[0].agent must match"),
    "a query that is no text": ("    queries: [12]\n", "queries[0] must be a string; quote it"),
    "a task twice": ("    tasks: [7, 7]\n", "tasks must not contain the same item twice"),
    "a task in words": ("    tasks: [seven]\n", "tasks[0] must be a whole number"),
    "a day that does not exist": (
        f"    facts: [{FACT.replace('2026-11-01', '2026-11-31')}]\n",
        "facts[0].checked must be in the format 'date' (a date such as 2026-11-01)",
    ),
    "the year zero": (f"    facts: [{FACT.replace('2026-11-01', '0000-11-01')}]\n", "facts[0].checked must match"),
    "a fact checked after it is due": (
        f"    facts: [{FACT.replace('2027-05-01', '2026-11-01')}]\n",
        "facts[0].check_again must be later than checked, which is 2026-11-01; correct one of the two dates",
    ),
    "an output schema of no known type": ("    output: {schema: {type: objekt}}\n", "output.schema.type matches none of the alternatives"),
    "an output schema that refers to the net": (
        '    output: {schema: {$ref: "http://127.0.0.1:9/x.json"}}\n',
        "references must stay inside this schema",
    ),
    "a case without assertions": ("    cases: [{input: x}]\n", "must have 'must'; or must have 'must_not'"),
    "an assertion of two kinds": ("    cases: [{input: x, must: [{contains: a, rubric: b}]}]\n", "must[0] must have at most 1 key"),
    "a path without a value": ("    cases: [{input: x, must: [{json_path: $.a}]}]\n", "must[0].equals is missing; add it"),
    "a pattern that is none": (
        "    cases: [{input: x, must_not: [{matches: '(a'}]}]\n",
        "cases[0].must_not[0].matches is not a valid regular expression",
    ),
    "a market in lower case": ("    markets: [de]\n", "markets[0] must match ^([A-Z]{2}|any)$"),
    "an unknown risk": ("    risk: severe\n", 'risk must be one of "low", "medium", "high"'),
    "a misspelt key": ("    not_fro: []\n", "did you mean 'not_for'?"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_invalid_profile_is_reported_with_its_field(kind: str, folder: Path, write: Write, family: Text) -> None:
    extra, words = BROKEN[kind]
    write("a.yaml", family(1) + extra)
    said = "\n".join(map(str, read(folder).problems))
    assert words in said
