"""What definitions refer to: O*NET tasks, other agents and models."""

from collections.abc import Iterator, Sequence
from datetime import date

from catalogue.catalogue import Catalogue, Problem
from catalogue.lint.sources import SourceFile
from catalogue.onet import Tasks
from catalogue.pricing.prices import PriceBook


def unknown_tasks(source: SourceFile, tasks: Tasks) -> Iterator[Problem]:
    """Cited tasks whose statements were not copied."""
    for _, path, member in source.members():
        for index, task in enumerate(member.get("tasks", ())):
            if task not in tasks:
                message = f"is {task}, which is not in catalogue/onet.tsv; correct it, or run python -m catalogue onet --from FOLDER"
                yield source.problem((*path, "tasks", index), message)


def broken_borders(source: SourceFile, catalogue: Catalogue) -> Iterator[Problem]:
    """Entries of not_for that send people to an agent that does not exist, or back to the same agent."""
    for agent, path, _ in source.members():
        for index, border in enumerate(agent.not_for):
            place = (*path, "not_for", index, "agent")
            if border.agent_id == agent.agent_id:
                yield source.problem(place, "is this agent itself; name the agent that does it")
            elif catalogue.find(border.agent_id) is None:
                nearest = catalogue.nearest_ids(border.agent_id)
                advice = f"the nearest ids are {', '.join(nearest)}" if nearest else "name an existing agent"
                yield source.problem(place, f"is '{border.agent_id}', which does not exist; {advice}")


def repeated_names(sources: Sequence[SourceFile]) -> Iterator[Problem]:
    """Agents with the name of another one: people tell agents apart by their names, and descriptions refer to them."""
    named: dict[str, str] = {}
    for source in sources:
        for agent, path, _ in source.members():
            first = named.setdefault(agent.name.casefold(), agent.agent_id)
            if first != agent.agent_id:
                yield source.problem((*path, "name"), f"is '{agent.name}', which is also the name of {first}; rename one of them")


def unusable_models(source: SourceFile, book: PriceBook, today: date) -> Iterator[Problem]:
    """Retired models, and models without a price. A model of a family is reported once."""
    table = book.table(today)
    places = {("model",): source.document.get("model")} | {(*path, "model"): member.get("model") for _, path, member in source.members()}
    for path, model in places.items():
        if model is None:
            continue
        successor = book.successor(model)
        if successor != model:
            yield source.problem(path, f"is '{model}', which is retired; '{successor}' answers instead, so name that")
        elif not table.knows(model):
            advice = "correct the name, or add a price"
            yield source.problem(path, f"is '{model}', which has no price in models.yaml and is booked at the highest price; {advice}")
