"""The optional part of a definition, which describes the agent to people and to tools and never reaches its prompt."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from catalogue.model import Border, Case, Fact, Output

_OF_AGENT = ("not_for", "queries", "tasks", "output", "cases")
_OF_FAMILY_OR_AGENT = ("markets", "risk")


def stated_profile(document: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that the file states, as plain data: the agent's own values override the family's, and its facts are added to them.

    A key that is not stated is left out, so that files without these keys keep their revisions.
    """
    merged = {**document, **member}
    stated = {key: merged[key] for key in (*_OF_AGENT, *_OF_FAMILY_OR_AGENT) if key in merged}
    facts = [part["facts"] for part in ((document,) if member is document else (document, member)) if "facts" in part]
    if facts:
        stated["facts"] = [fact for each in facts for fact in each]
    return stated


def profile_of(stated: Mapping[str, Any]) -> dict[str, Any]:
    """The same values as fields of an AgentDefinition."""
    profile: dict[str, Any] = {
        "not_for": tuple(Border(each["need"].strip(), each["agent"]) for each in stated.get("not_for", ())),
        "queries": tuple(query.strip() for query in stated.get("queries", ())),
        "tasks": tuple(int(task) for task in stated.get("tasks", ())),
        "cases": tuple(_case(each) for each in stated.get("cases", ())),
        "markets": tuple(stated.get("markets", ())),
        "risk": stated.get("risk"),
    }
    if "facts" in stated:
        profile["facts"] = tuple(_fact(each) for each in stated["facts"])
    if (output := stated.get("output")) is not None:
        words = output.get("words")
        profile["output"] = Output(tuple(output.get("parts", ())), None if words is None else int(words), output.get("schema"))
    return profile


def _fact(stated: Mapping[str, Any]) -> Fact:
    checked, check_again = date.fromisoformat(stated["checked"]), date.fromisoformat(stated["check_again"])
    return Fact(stated["claim"].strip(), stated["source"].strip(), checked, check_again)


def _case(stated: Mapping[str, Any]) -> Case:
    return Case(stated["input"], stated.get("context"), tuple(stated.get("must", ())), tuple(stated.get("must_not", ())))
