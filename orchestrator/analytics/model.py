"""Figures of executions, and the cells in which they are summed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, StrEnum, auto
from typing import NamedTuple

from orchestrator.executions.model import State

EVERYBODY = 0
"""The owner of the cells that count the executions of all users."""


class Dimension(StrEnum):
    """What a cell counts, together with its subject."""

    TOTAL = "total"
    """All executions. The subject is empty."""
    AGENT = "agent"
    MODEL = "model"
    USER = "user"
    """Only of EVERYBODY."""
    KEY = "key"
    """The API key. Executions that an access token made are only in the total."""
    REASON = "reason"
    """The error of executions that did not complete."""
    AGENT_REASON = "agent_reason"
    """The agent, a space, and the error."""


class Width(IntEnum):
    """How long the time of a cell is, in minutes. Cells begin at multiples of it, in UTC."""

    QUARTER = 15
    HOUR = 60
    DAY = 1440
    WEEK = 10080
    """Begins on a Thursday, as the epoch did."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution that ended, as its event and its row tell."""

    user_id: int
    agent_id: str
    agent_name: str
    state: State
    reason: str
    """Empty if it completed."""
    model: str
    """Empty if nothing was bought."""
    api_key_id: str
    """Empty if an access token made the call."""
    tokens: Sequence[int]
    """Input, output, cache read, cache write."""
    cost_micro_usd: int
    seconds: float
    finished_at: datetime


class CellKey(NamedTuple):
    dimension: str
    owner: int
    subject: str
    width: int
    bucket: datetime


@dataclass(slots=True)
class Cell:
    """The figures of one subject in one stretch of time."""

    calls: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    unknown: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_micro_usd: int = 0
    seconds: float = 0.0
    """Of completed executions."""
    durations: dict[int, int] = field(default_factory=dict)
    """The histogram of the seconds of completed executions. Only totals and agents have histograms."""
    costs: dict[int, int] = field(default_factory=dict)
    """The histogram of the costs of completed executions."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """Up to when cells have been summed into longer ones, and up to when single subjects still have their short cells."""

    hours_until: datetime
    days_until: datetime
    weeks_until: datetime
    fine_from: datetime
    """Before this moment, only totals have cells shorter than a day."""

    def until(self, width: Width) -> datetime:
        """Up to when cells of a width longer than a quarter of an hour exist."""
        return {Width.HOUR: self.hours_until, Width.DAY: self.days_until, Width.WEEK: self.weeks_until}[width]


class Span(NamedTuple):
    """A stretch of time that is read from the cells of one width."""

    width: Width
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a stretch of time."""

    calls: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    unknown: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_micro_usd: int = 0
    seconds: float = 0.0

    @property
    def mean_seconds(self) -> float:
        """The mean duration of completed executions; 0 if there is none."""
        return self.seconds / self.completed if self.completed else 0.0


COUNTERS = tuple(Figures.__slots__)
"""The names of the figures, which are also columns."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures with the histogram of the durations."""

    figures: Figures = Figures()
    durations: Mapping[int, int] = field(default_factory=dict)


class Interval(Enum):
    """How long the intervals of a time series are."""

    QUARTER_HOUR = auto()
    HOUR = auto()
    DAY = auto()
    WEEK = auto()
    MONTH = auto()


class Order(StrEnum):
    """What agents are ordered by, in descending order."""

    CALLS = "calls"
    COST = "cost"
    FAILURES = "failures"
    MEAN_SECONDS = "mean_seconds"


class Group(StrEnum):
    """What costs are grouped by."""

    AGENT = "agent"
    CATEGORY = "category"
    USER = "user"
    MODEL = "model"
    KEY = "key"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time that begins and ends at a quarter of an hour, in UTC."""

    begins: datetime
    ends: datetime

    @property
    def before(self) -> "Range":
        """The stretch of the same length that ends where this one begins."""
        return Range(self.begins - (self.ends - self.begins), self.begins)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asks about: the range (None: the default) and whose executions (0: all that the caller sees)."""

    begins: datetime | None = None
    ends: datetime | None = None
    user_id: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of a dimension with its figures."""

    subject: str
    name: str
    category: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class SubjectQuery:
    """Selects the subjects of a dimension, in the order of their figures; `offset` of them are left out."""

    group: Group
    owner: int
    range: Range
    order: Order
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class SubjectPage:
    subjects: Sequence[Subject]
    more: bool


@dataclass(frozen=True, slots=True)
class Point:
    """One interval of a time series."""

    begins: datetime
    ends: datetime
    measured: Measured


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a range and of the range before it, and the errors, the most frequent first."""

    range: Range
    counted_until: datetime | None
    now: Measured
    before: Measured
    reasons: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class AnswerOf:
    """Subjects or points, with the range that was used."""

    range: Range
    counted_until: datetime | None
    subjects: Sequence[Subject] = ()
    points: Sequence[Point] = ()
    more: bool = False
