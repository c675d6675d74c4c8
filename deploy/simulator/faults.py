"""Faults on demand: what can go wrong with a provider, by the name of the model or by a rule set from outside.

A model named `sim-<fault>` or `sim-<fault>-<argument>` has that fault for good:

    sim-429[-seconds]       429 rate_limit_error; retry-after (default 1 s)
    sim-529  sim-500        overloaded_error, api_error
    sim-delay[-ms]          answers later (default 1000)
    sim-hang                never answers
    sim-trickle[-ms]        waits before every delta of a stream (default 50); does nothing to JSON
    sim-cut                 a stream ends in the middle without message_stop; JSON: the connection closes in the middle
    sim-stream-error        a stream gives an overloaded_error event in the middle; JSON: the same as sim-529
    sim-malformed           200 with broken JSON, in the body or in the middle of a stream
    sim-empty               200 with no content
    sim-big[-characters]    an answer of that length (default 100000), whatever max_tokens says
    sim-secret              an answer that holds made-up credentials
    sim-refusal             200 with no content and stop_reason refusal

A rule gives a fault to the next requests that match it, whatever their model; it goes before the model's own.
"""

from dataclasses import dataclass, field

from deploy.simulator.errors import ApiError
from deploy.simulator.messages.prompt import Prompt

NO_ARGUMENT = None
DEFAULT_ARGUMENTS: dict[str, int | None] = {
    "429": 1,
    "529": NO_ARGUMENT,
    "500": NO_ARGUMENT,
    "delay": 1_000,
    "hang": NO_ARGUMENT,
    "trickle": 50,
    "cut": NO_ARGUMENT,
    "stream-error": NO_ARGUMENT,
    "malformed": NO_ARGUMENT,
    "empty": NO_ARGUMENT,
    "big": 100_000,
    "secret": NO_ARGUMENT,
    "refusal": NO_ARGUMENT,
}
MODEL_PREFIX = "sim-"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; the argument is in the fault's own unit, 0 where it takes none."""

    name: str
    argument: int = 0

    @classmethod
    def named(cls, name: str, argument: int | None = None) -> "Fault":
        """The fault of that name. Raises ValueError for an unknown name or an argument that it does not take."""
        if name not in DEFAULT_ARGUMENTS:
            raise ValueError(f"no fault is called {name!r}; there are: {', '.join(DEFAULT_ARGUMENTS)}")
        default = DEFAULT_ARGUMENTS[name]
        if argument is None:
            return cls(name, default or 0)
        if default is NO_ARGUMENT or argument < 0:
            raise ValueError(f"the fault {name!r} does not take the argument {argument}")
        return cls(name, argument)

    @classmethod
    def of_model(cls, model: str) -> "Fault | None":
        """The fault that a model's name asks for. Raises the API's 404 for a `sim-…` that names none."""
        if not model.startswith(MODEL_PREFIX):
            return None
        name, dash, argument = model.removeprefix(MODEL_PREFIX).rpartition("-")
        if not (dash and argument.isdecimal() and name in DEFAULT_ARGUMENTS):
            name, argument = model.removeprefix(MODEL_PREFIX), ""
        try:
            return cls.named(name, int(argument) if argument else None)
        except ValueError as unknown:
            raise ApiError.not_found(f"model: {model} ({unknown})") from unknown

    def error(self, stream: bool) -> ApiError | None:
        """The error status that this fault answers with, if it does so."""
        if self.name == "429":
            message = "This request would exceed your account's rate limit. Please try again later."
            return ApiError(429, "rate_limit_error", message, {"retry-after": str(self.argument)})
        if self.name == "529" or (self.name == "stream-error" and not stream):
            return ApiError(529, "overloaded_error", "Overloaded")
        if self.name == "500":
            return ApiError(500, "api_error", "Internal server error")
        return None


@dataclass(slots=True)
class FaultRule:
    """A fault for the next `remaining` requests that match; None for all of them, until cleared."""

    fault: Fault
    remaining: int | None = None
    input_contains: str | None = None
    model: str | None = None

    def applies_to(self, prompt: Prompt) -> bool:
        """Whether the rule is meant for this request."""
        return self.model in (None, prompt.model) and (self.input_contains is None or self.input_contains in prompt.input)


@dataclass(slots=True)
class FaultRules:
    """The rules now in force, oldest first; the first that applies decides."""

    rules: list[FaultRule] = field(default_factory=list)

    def add(self, rule: FaultRule) -> None:
        """Puts one more rule in force."""
        self.rules.append(rule)

    def clear(self) -> None:
        """Ends all rules."""
        self.rules.clear()

    def fault_of(self, prompt: Prompt) -> Fault | None:
        """The fault of this request, counted against the rule that gave it. Raises the API's 404 for an unknown `sim-…`."""
        own = Fault.of_model(prompt.model)
        rule = next((rule for rule in self.rules if rule.applies_to(prompt)), None)
        return own if rule is None else self._take(rule)

    def _take(self, rule: FaultRule) -> Fault:
        if rule.remaining is not None:
            rule.remaining -= 1
            if rule.remaining == 0:
                self.rules.remove(rule)
        return rule.fault
