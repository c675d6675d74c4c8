"""Generates synthetic definitions of a realistic size and shape. The figures for 1,500 agents are measured with them.

The same count always gives the same files.
"""

import random
from pathlib import Path
from textwrap import indent, wrap

FAMILY_SIZE = 10

_CATEGORIES = (
    "marketing", "sales", "finance", "legal", "people", "support", "engineering", "data", "security", "operations",
    "product", "design", "procurement", "research", "education",
)  # fmt: skip
_ROLES = ("strategist", "analyst", "auditor", "planner", "writer", "reviewer", "coach", "architect", "forecaster", "coordinator")
_STAGES = ("intake", "diagnosis", "benchmarking", "planning", "modelling", "drafting", "review", "rollout", "measurement", "handover")
_OPENINGS = ("First", "Before anything else", "Where evidence is thin", "When figures disagree", "For every recommendation", "At the end")
_VERBS = ("establish", "compare", "challenge", "document", "rank", "quantify", "separate", "verify")
_THINGS = (
    "the assumptions behind the forecast", "the owner and the date of each action", "what was measured and what was inferred",
    "the cost of doing nothing", "the two alternatives that were rejected", "the constraints that the client cannot move",
    "the effect on customers who are already here", "the risk that would change the decision", "the source and the age of each figure",
)  # fmt: skip
_REASONS = (
    "because the reader decides by it", "so that somebody else can repeat the work", "and say which of them is the weak one",
    "and leave a gap open rather than fill it with a guess", "in words that a newcomer to the trade understands",
)  # fmt: skip


def generate(count: int, folder: Path) -> int:
    """Writes agents numbered 1 to `count` as families of ten, `<category>/<role>.yaml`. Returns the number of files."""
    firsts = range(1, count + 1, FAMILY_SIZE)
    for family, first in enumerate(firsts):
        category, role = _names(family)
        path = folder / category / f"{role}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_family(category, role, range(first, min(first + FAMILY_SIZE, count + 1))), encoding="utf-8")
    return len(firsts)


def _names(family: int) -> tuple[str, str]:
    round_, place = divmod(family, len(_CATEGORIES) * len(_ROLES))
    role = _ROLES[place % len(_ROLES)]
    return _CATEGORIES[place // len(_ROLES)], f"{role}_{round_ + 1}" if round_ else role


def _family(category: str, role: str, numbers: range) -> str:
    dice = random.Random(numbers.start)
    head = (
        f"category: {category}\nrole: {role}\nprompt: |\n"
        f"  You are {{{{title}}}} and work for {{{{audience}}}}.\n\n{indent(_text(dice, dice.randint(1400, 2900)), '  ')}\n"
        f"parameters:\n  title: a senior {role.replace('_', ' ')} in {category}\n  audience: companies of every size\n"
        f"max_tokens: 4096\n{_CONTEXT_SCHEMA}tags: [{category}, {role}]\nagents:\n"
    )
    return head + "".join(_agent(dice, category, role, index, number) for index, number in enumerate(numbers, 1))


def _agent(dice: random.Random, category: str, role: str, index: int, number: int) -> str:
    stage = _STAGES[(index - 1) % len(_STAGES)]
    return (
        f"  - agent_id: {category}_{role}_agent_{index}_{number}\n"
        f"    name: {category.title()} {role.replace('_', ' ').title()} for {stage.title()}\n"
        f"    description: Takes care of {stage} in {category} and says what to do next, by whom and why.\n"
        f"    tags: [{stage}]\n"
        f"    parameters:\n      audience: teams that are in the middle of {stage}\n"
        f"    focus: |\n{indent(_text(dice, 900), '      ')}\n"
        f'    examples:\n      - "Here is our {stage} for the last quarter: what should we change first? {_text(dice, 250, fold=False)}"\n'
        f'      - "Write the {stage} note that our board needs to decide on Thursday. {_text(dice, 250, fold=False)}"\n'
        f"{_profile(dice, category, role, index, number, stage)}"
    )


def _profile(dice: random.Random, category: str, role: str, index: int, number: int, stage: str) -> str:
    """The optional part of a definition. The sibling need not exist."""
    sibling = f"{category}_{role}_agent_{index % FAMILY_SIZE + 1}_{number - index + index % FAMILY_SIZE + 1}"
    return (
        f"    not_for:\n      - need: {_text(dice, 60, fold=False)}\n        agent: {sibling}\n"
        f"      - need: {_text(dice, 60, fold=False)}\n        agent: {sibling}\n"
        f'    queries:\n      - "our {stage} is late, who can help"\n      - "{role} for {stage} in a small company"\n'
        f'      - "check a plan for {stage} before the board sees it"\n'
        f"    facts:\n      - claim: {_text(dice, 100, fold=False)}\n        source: https://example.com/{category}/{role}\n"
        f'        checked: "2026-11-01"\n        check_again: "2027-11-01"\n'
        f"    output:\n      parts: [finding, table of actions, reasons, open questions]\n      words: 600\n"
        f"    tasks: [{8800 + number % 90}, {8900 + number % 90}]\n"
        f"    cases:\n      - input: {_text(dice, 1200, fold=False)}\n        context: {{market: DE, budget_usd: 5000}}\n"
        f"        must:\n          - contains: {stage}\n          - rubric: Does the answer name an owner and a date for each action?\n"
        f"        must_not:\n          - matches: (?i)as an AI\n    markets: [any]\n    risk: low\n"
    )


def _text(dice: random.Random, length: int, *, fold: bool = True) -> str:
    """About `length` characters of prose, wrapped or on one line."""
    sentences: list[str] = []
    while sum(map(len, sentences)) < length:
        sentences.append(f"{dice.choice(_OPENINGS)}, {dice.choice(_VERBS)} {dice.choice(_THINGS)} {dice.choice(_REASONS)}.")
    return "\n".join(wrap(" ".join(sentences), 120)) if fold else " ".join(sentences)


_CONTEXT_SCHEMA = """\
context_schema:
  type: object
  properties:
    market:
      type: string
      description: Country or region that matters.
    deadline:
      type: string
      format: date
      description: Day by which the work has to be done.
    budget_usd:
      type: number
      minimum: 0
      description: What may be spent, in US dollars.
"""
