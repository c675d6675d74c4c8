"""Writes the text of a simulated answer: a short report of 150 to 400 words, made from the system prompt and the input.

The same digest always gives the same text.
"""

from collections.abc import Sequence

from deploy.simulator.answers.brief import Brief, Figure
from deploy.simulator.answers.persona import Persona
from deploy.simulator.answers.wording import shortened

MARKER = "— simulated answer; set ANTHROPIC_API_KEY for a real one"

_OPENINGS = (
    "Speaking as {title}: the heart of this request is {topics}.",
    "Taken up as {title}, this is a piece of work about {topics}.",
    "As {title} I would start from {topics}.",
)
_APPLIED = (
    "Applied here, {first} is settled before {second} is touched.",
    "For this request that makes {first} the first thing to settle; {second} follows from it.",
    "Here it means that {first} decides how much effort {second} deserves.",
)
_REPLIES = (
    "Decide it by {first}. If that holds up, {second} follows; if it does not, the rest can wait.",
    "Take {first} first, because it is the cheapest to verify and rules out the most; then {second}.",
    "The answer turns on {first}. The cautious reading is to confirm it on a small sample before {second} is changed.",
)
_FIGURE_NOTES = {
    "share": ("name the period and the base it is a share of before anyone acts on it", "compare it with the same period a year earlier"),
    "money": ("say whether it is net or gross, and who approved it", "set it against the cost of doing nothing"),
    "time": ("work backwards from it, and mark the last day on which it can still be moved", "keep a fifth of it free for what goes wrong"),
    "count": ("agree how it was counted, so that the next count can be compared", "a sample of a tenth of it is enough to see the pattern"),
}
_STEPS = (
    "Confirm {first} with whoever owns it, and write down the date and the source.",
    "Make the smallest change to {second} that can be measured, and leave the rest alone for one cycle.",
    "Come back with the result; it decides whether {third} is worth the effort.",
)
_LIMITS = (
    "Nothing beyond the request and the instructions was consulted; what they leave open is an assumption until you confirm it.",
    "This rests on the request alone. The weakest point is {first}: a single counter-example would change the order above.",
)
# Values of table cells, by a word in the name of the column. The rows use the values in turn.
_CELLS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("owner", "who", "responsible", "role"), ("lead", "specialist", "reviewer")),
    (("effort", "cost", "size"), ("small", "medium", "small")),
    (("priority", "severity", "effect", "impact", "value", "risk", "likelihood"), ("high", "medium", "low")),
    (("confidence",), ("medium", "medium", "low")),
    (("action", "decision", "fix", "step", "recommend", "change", "mitigation"), ("verify, then act", "smallest change", "keep as it is")),
    (("test", "measure", "metric", "check", "kpi", "proof"), ("before and after", "one full cycle", "spot check")),
    (("evidence", "source", "reason", "why", "basis"), ("stated in the request", "inferred", "to be confirmed")),
    (("date", "when", "due", "deadline", "time", "week", "month"), ("this week", "next week", "end of the month")),
    (("status", "verdict", "result"), ("open", "open", "later")),
)
_OTHER_CELL = ("to confirm", "not given", "open")


def report(persona: Persona, brief: Brief, digest: bytes) -> str:
    """The answer in Markdown, with the marker at the end. `digest` chooses between equivalent wordings."""
    first, second, third = brief.topics
    topics = {"title": persona.title, "topics": f"**{first}**, **{second}** and **{third}**", **_quoted(first, second, third)}
    start = digest[0] % max(1, len(persona.checks) - 3)
    checks = [shortened(check, 28) for check in persona.checks[start : start + 3]]
    sections = (
        f"# {brief.subject}",
        f"{_pick(_OPENINGS, digest, 1).format(**topics)} {_given(brief)}",
        f"**What matters most.** {checks[0]} {_pick(_APPLIED, digest, 2).format(**topics)}",
        f"## {persona.deliverable}\n\n{_deliverable(persona, brief)}",
        f"## Checks\n\n{_checks(checks[1:], persona.faults)}",
        _figures(brief.figures, digest),
        _replies(brief, digest),
        "## Next steps\n\n" + "\n".join(f"{number}. {step.format(**topics)}" for number, step in enumerate(_STEPS, 1)),
        _pick(_LIMITS, digest, 5).format(**topics),
        MARKER,
    )
    return "\n\n".join(section for section in sections if section)


def _quoted(first: str, second: str, third: str = "") -> dict[str, str]:
    return {"first": f"“{first}”", "second": f"“{second}”", "third": f"“{third}”"}


def _pick(options: Sequence[str], digest: bytes, place: int) -> str:
    return options[digest[place] % len(options)]


def _given(brief: Brief) -> str:
    figures, questions = len(brief.figures), len(brief.questions)
    asked = "It asks no direct question" if not questions else "It asks one question" if questions == 1 else "It asks several questions"
    figured = "gives no figures, so nothing below is sized" if not figures else "gives figures to work from, which are taken as they stand"
    return f"{asked} and {figured}."


def _deliverable(persona: Persona, brief: Brief) -> str:
    if len(persona.parts) < 3:
        return "\n".join(f"- **{topic}**: {cell}" for topic, cell in zip(brief.topics, _CELLS[4][1], strict=True))
    rows = [_row(persona.parts, topic, index) for index, topic in enumerate(brief.topics)]
    header = [f"| {' | '.join(persona.parts)} |", f"|{'---|' * len(persona.parts)}"]
    return "\n".join([*header, *rows])


def _row(parts: Sequence[str], topic: str, index: int) -> str:
    cells = [topic.replace("|", "/"), *(_cell(part, index + column) for column, part in enumerate(parts[1:]))]
    return f"| {' | '.join(cells)} |"


def _cell(part: str, index: int) -> str:
    name = part.lower()
    return next((values for words, values in _CELLS if any(word in name for word in words)), _OTHER_CELL)[index % 3]


def _checks(checks: Sequence[str], faults: str) -> str:
    return "\n".join([*(f"- {check}" for check in checks), *([f"- Watch for: {faults}."] if faults else [])])


def _figures(figures: Sequence[Figure], digest: bytes) -> str:
    if not figures:
        return ""
    lines = [f"- **{one.text}** (“{one.context}”): {_pick(_FIGURE_NOTES[one.kind], digest, 3)}." for one in figures]
    return "\n".join(["## Figures", "", *lines])


def _replies(brief: Brief, digest: bytes) -> str:
    if not brief.questions:
        return ""
    first, second, third = brief.topics
    turns = (_quoted(first, second), _quoted(third, first))
    lines = [
        f"**{question}** {_pick(_REPLIES, digest, 6 + index).format(**turns[index])}" for index, question in enumerate(brief.questions)
    ]
    return "\n\n".join(["## Answers", *lines])
