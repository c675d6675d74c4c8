"""What the lint reports. Each test takes a family without problems and spoils one thing."""

import json
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from catalogue.files.reader import read
from catalogue.lint.linter import Report, lint
from catalogue.lint.similarity import shingles_of
from catalogue.pricing.prices import PriceBook
from catalogue.synthetic import generate

Family = dict[str, Any]
Write = Callable[..., Path]

TODAY = date(2026, 11, 27)
TASKS = {7: ("11-2021.00", "Plan campaigns."), 8: ("11-2021.00", "Measure campaigns.")}
BOOK = PriceBook.load()
PROMPT = "\n".join(
    f"## {heading}\nSome rules." for heading in ("Role and yardstick", "What you are given", "How you decide", "Limits", "Answer")
)
WRITER, TESTER = "marketing_editor_agent_1_1", "marketing_editor_agent_2_2"


def _agent(agent_id: str, name: str, trade: str, other: str) -> Family:
    return {
        "agent_id": agent_id,
        "name": name,
        "description": f"Hands over {trade}.",
        "focus": " ".join(f"{trade}{number}" for number in range(120)),
        "not_for": [{"need": "The other half of the work.", "agent": other}],
        "queries": [f"{trade} please", f"who does {trade} here", f"need {trade} by monday"],
        "tasks": [7, 8],
        "output": {"parts": ["finding"], "words": 300},
        "cases": [{"input": "Do it.", "context": {"market": "DE"}, "must": [{"contains": "x"}]}],
        "examples": ["Do this.", "Do that."],
    }


def family() -> Family:
    """A family that the shipped catalogue could contain."""
    return {
        "category": "marketing",
        "role": "editor",
        "prompt": PROMPT,
        "context_schema": {"type": "object", "properties": {"market": {"type": "string"}}},
        "facts": [{"claim": "The fee is 2 EUR", "source": "Fee list 4", "checked": "2026-11-01", "check_again": "2026-11-28"}],
        "markets": ["any"],
        "risk": "low",
        "agents": [_agent(WRITER, "Slogan Writer", "slogans", TESTER), _agent(TESTER, "Survey Tester", "surveys", WRITER)],
    }


def report(folder: Path, document: Family, *, strict: bool = True, today: date = TODAY) -> Report:
    (folder / "editor.json").write_text(json.dumps(document, indent=1))
    catalogue = read(folder)
    assert catalogue.problems == ()
    return lint(catalogue, TASKS, BOOK, today, strict=strict)


def spoilt(where: Sequence[str | int], value: Any) -> Family:
    """The family with another value in one place; None removes it."""
    document = deepcopy(family())
    place: Any = document
    for step in where[:-1]:
        place = place[step]
    if value is None:
        del place[where[-1]]
    else:
        place[where[-1]] = value
    return document


def test_a_complete_family_has_no_problems(folder: Path) -> None:
    assert report(folder, family()) == Report([], [])


FIRST = ("agents", 0)
OF_ANY_FILE: dict[str, tuple[Sequence[str | int], Any, str]] = {
    "an unknown task": ((*FIRST, "tasks"), [7, 9], "agents[0].tasks[1] is 9, which is not in catalogue/onet.tsv; correct it, or run"),
    "a border to nobody": (
        (*FIRST, "not_for", 0, "agent"),
        "marketing_editor_agent_2_3",
        f"agents[0].not_for[0].agent is 'marketing_editor_agent_2_3', which does not exist; the nearest ids are {TESTER}",
    ),
    "a border to itself": ((*FIRST, "not_for", 0, "agent"), WRITER, "agents[0].not_for[0].agent is this agent itself"),
    "a case that the agent refuses": (
        (*FIRST, "cases", 0, "context"),
        {"market": 7},
        "agents[0].cases[0].context is refused by the agent's context_schema: context.market must be a string",
    ),
    "a path that cannot be followed": (
        (*FIRST, "cases", 0, "must"),
        [{"contains": "x"}, {"json_path": "$..a", "equals": 1}],
        "agents[0].cases[0].must[1].json_path '$..a' is not supported",
    ),
}
OF_SHIPPED: dict[str, tuple[Sequence[str | int], Any, str]] = {
    "no borders": ((*FIRST, "not_for"), None, "agents[0].not_for has 0 entries; the shipped catalogue needs 1 to 4"),
    "an id of another role": (
        ("role",),
        "writer",
        "agent_id is 'marketing_editor_agent_1_1'; in the shipped catalogue it begins with 'marketing_writer_agent_'",
    ),
    "too few queries": ((*FIRST, "queries"), ["slogans please"], "agents[0].queries has 1 entries; the shipped catalogue needs 3 to 5"),
    "too few tasks": ((*FIRST, "tasks"), [7], "agents[0].tasks has 1 entries; the shipped catalogue needs 2 to 8"),
    "three examples": ((*FIRST, "examples"), ["a", "b", "c"], "agents[0].examples has 3 entries; the shipped catalogue needs 2"),
    "no output": ((*FIRST, "output"), None, "agents[0].output is missing; add it with parts and words"),
    "an output without length": ((*FIRST, "output", "words"), None, "agents[0].output.words is missing"),
    "no facts": (("facts",), None, "agents[1].facts is missing; add it here or to the family; write [] if nothing goes out of date"),
    "no risk": (("risk",), None, "agents[0].risk is missing; add it here or to the family"),
    "a missing heading": (("prompt",), PROMPT.replace("## Limits", "## Borders"), "prompt must have one line for each of these headings"),
    "headings out of order": (
        ("prompt",),
        PROMPT.replace("## Limits", "## Answer", 1),
        "found Role and yardstick, What you are given, How",
    ),
    "a long prompt": (("prompt",), PROMPT + " word" * 430, "prompt has 457 words; use at most 450"),
    "a short focus": ((*FIRST, "focus"), "slogan " * 109, "agents[0].focus has 109 words; use 110 to 160"),
    "a long focus": ((*FIRST, "focus"), "slogan " * 161, "agents[0].focus has 161 words; use 110 to 160"),
    "a retired model": ((*FIRST, "model"), "claude-3-opus-latest", "agents[0].model is 'claude-3-opus-latest', which is retired"),
    "an unknown model of the family": (("model",), "claude-sonnet-9", "model is 'claude-sonnet-9', which has no price"),
    "a context that an example lacks": (
        ("context_schema",),
        {"type": "object", "properties": {"market": {"type": "string"}}, "required": ["market"]},
        "agents[0].examples cannot be sent as they are, because context_schema requires a context",
    ),
    "a query that is an example": (
        (*FIRST, "queries"),
        ["slogans please", "slogans for a shop", "do  THIS."],
        "agents[0].queries[2] is copied from the examples",
    ),
    "a query from the description": (
        (*FIRST, "queries"),
        ["slogans please", "hands over slogans", "slogans now"],
        "agents[0].queries[1] is copied from the description",
    ),
    "a name that another agent has": (
        ("agents", 1, "name"),
        "slogan writer",
        f"agents[1].name is 'slogan writer', which is also the name of {WRITER}; rename one of them",
    ),
    "siblings that are too similar": (
        ("agents", 1, "focus"),
        " ".join([*(f"slogans{number}" for number in range(60)), *(f"surveys{number}" for number in range(60))]),
        f"agents[1].focus shares 0.33 of its shingles with '{WRITER}'; at most 0.3 is allowed",
    ),
}


@pytest.mark.parametrize("kind", OF_ANY_FILE)
@pytest.mark.parametrize("strict", [False, True])
def test_a_mistake_is_a_problem_of_any_file(kind: str, strict: bool, folder: Path) -> None:
    where, value, words = OF_ANY_FILE[kind]
    said = [str(problem) for problem in report(folder, spoilt(where, value), strict=strict).problems]
    assert [line for line in said if words in line], said


@pytest.mark.parametrize("kind", OF_SHIPPED)
def test_a_shortcoming_is_a_problem_of_the_shipped_catalogue_only(kind: str, folder: Path) -> None:
    where, value, words = OF_SHIPPED[kind]
    document = spoilt(where, value)
    said = [str(problem) for problem in report(folder, document).problems]
    assert [line for line in said if words in line], said
    assert not report(folder, document, strict=False).problems


def test_a_problem_names_the_file_and_the_line(folder: Path) -> None:
    text = json.dumps(spoilt((*FIRST, "tasks"), [7, 9]), indent=1)
    (problem,) = report(folder, json.loads(text)).problems
    line = next(number for number, each in enumerate(text.splitlines(), 1) if each.strip() == "9")
    assert str(problem).startswith(f"{folder}/editor.json: line {line}: agents[0].tasks[1] is 9")


@pytest.mark.parametrize(("today", "due"), [(date(2026, 11, 27), 0), (date(2026, 11, 28), 1), (date(2030, 1, 1), 1)])
def test_a_fact_that_is_due_is_a_warning(today: date, due: int, folder: Path) -> None:
    """Once for a family, and never a problem."""
    for strict in (False, True):
        found = report(folder, family(), strict=strict, today=today)
        assert (len(found.problems), len(found.warnings)) == (0, due)
        assert all("facts[0] is due since 2026-11-28: check 'The fee is 2 EUR' against Fee list 4" in str(each) for each in found.warnings)


def test_a_query_must_find_its_agent_without_being_indexed(folder: Path) -> None:
    """The word of a query that only the query has does not count; the same word in the description does."""
    document = spoilt((*FIRST, "queries"), ["slogans please", "slogans here", "a zeppelin"])
    (problem,) = report(folder, document).problems
    assert "agents[0].queries[2] does not find this agent among the first 5 without being indexed: it finds nothing" in str(problem)
    document["agents"][0]["description"] = "Hands over slogans for zeppelins."
    assert not report(folder, document).problems


def test_unrelated_agents_may_have_more_in_common_than_siblings(folder: Path, write: Write) -> None:
    """Up to half of the shingles, in any two files."""
    shared = [f"common{number}" for number in range(60)]
    document = family()
    document["agents"] = document["agents"][:1]
    document["agents"][0]["focus"] = " ".join([*shared, *(f"own{number}" for number in range(60))])
    document["agents"][0]["not_for"][0]["agent"] = "marketing_critic_agent_1_9"
    other = deepcopy(document) | {"role": "critic"}
    other["agents"][0] |= _agent("marketing_critic_agent_1_9", "Tone Critic", "tones", WRITER)
    other["agents"][0]["focus"] = " ".join([*shared, *(f"else{number}" for number in range(60))])
    write("critic.json", json.dumps(other))
    assert not report(folder, document).problems
    other["agents"][0]["focus"] = " ".join([*shared, *(f"own{number}" for number in range(30)), *(f"else{number}" for number in range(30))])
    write("critic.json", json.dumps(other))
    said = [str(problem) for problem in report(folder, document).problems]
    assert len(said) == 1
    assert "at most 0.5 is allowed" in said[0]


def test_shingles_ignore_case_and_punctuation() -> None:
    assert shingles_of("One, two; THREE.") == shingles_of("one two three") == {("one", "two", "three")}
    assert shingles_of("one two") == frozenset()


def test_generic_phrases_are_counted_in_a_warning(folder: Path) -> None:
    document = family()
    document["agents"][0]["description"] = "Follows best   practices, and best practices again. Robustness is no phrase."
    document["agents"][1]["description"] = "A Seamless survey."
    found = report(folder, document)
    assert not found.problems
    assert [str(each).partition(": line ")[2].partition(": ")[2] for each in found.warnings] == [
        "agents[0].description has the generic phrase 'best practices' (2 times in the catalogue, first here); say what is meant",
        "agents[1].description has the generic phrase 'seamless' (once); say what is meant",
    ]


@pytest.mark.slow
def test_the_lint_of_300_agents_takes_less_than_4_seconds(folder: Path) -> None:
    """CPU time, also where thousands of problems have to be located. So the lint of 1,500 takes less than 20 s."""
    generate(300, folder / "made_up")
    began = time.thread_time()
    catalogue = read(folder / "made_up")
    assert lint(catalogue, TASKS, BOOK, TODAY, strict=True).problems
    assert time.thread_time() - began < 4
