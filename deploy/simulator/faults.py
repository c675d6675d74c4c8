"""Faults on demand: the ways in which a provider can fail, chosen by the model's name or by a rule.

A request for the model `sim-<fault>` or `sim-<fault>-<argument>` always has that fault:

    sim-429[-seconds]       429 rate_limit_error with this retry-after (default 1 s)
    sim-529  sim-500        overloaded_error, api_error
    sim-proxy[-status]      the HTML page of a proxy with this status, 300 to 599 (default 502)
    sim-delay[-ms]          answers later (default 1000)
    sim-hang                never answers
    sim-trickle[-ms]        waits before every delta of a stream (default 50); does not change JSON
    sim-cut                 a stream ends in the middle without message_stop; JSON: the connection closes in the middle
    sim-stream-error        a stream sends an overloaded_error event in the middle; JSON: the same as sim-529
    sim-malformed           200 with broken JSON, in the body or in the middle of a stream
    sim-empty               200 without content
    sim-big[-characters]    an answer of this length (default 100000), even beyond max_tokens
    sim-secret              an answer with made-up credentials
    sim-refusal             200 without content and with stop_reason refusal
    sim-late-refusal        the same after half of the text
    sim-max-tokens[-tokens] an answer that is cut off after this many tokens (default 20), with stop_reason max_tokens
    sim-thinking            thinking that spends all of max_tokens, and no text
    sim-pause-turn          half of the text, and stop_reason pause_turn
    sim-strange-stop        an answer with a stop_reason that no documentation knows
    sim-strange-blocks      an answer with content blocks of other types before its text
    sim-negative-usage      an answer with `"input_tokens": -3` in its usage
    sim-huge-usage          an answer with more tokens in its usage than fit into 32 bits
    sim-no-usage            an answer whose usage is null

A rule gives a fault to the next requests that match it, for any model. It takes precedence over the model's name.
"""

from dataclasses import dataclass, field

from deploy.simulator.errors import ApiError, ProxyPage
from deploy.simulator.messages.prompt import Prompt

NO_ARGUMENT = None
DEFAULT_ARGUMENTS: dict[str, int | None] = {
    "429": 1,
    "529": NO_ARGUMENT,
    "500": NO_ARGUMENT,
    "proxy": 502,
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
    "late-refusal": NO_ARGUMENT,
    "max-tokens": 20,
    "thinking": NO_ARGUMENT,
    "pause-turn": NO_ARGUMENT,
    "strange-stop": NO_ARGUMENT,
    "strange-blocks": NO_ARGUMENT,
    "negative-usage": NO_ARGUMENT,
    "huge-usage": NO_ARGUMENT,
    "no-usage": NO_ARGUMENT,
}
MODEL_PREFIX = "sim-"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. The argument is in the unit of the fault, and 0 for a fault that takes none."""

    name: str
    argument: int = 0

    @classmethod
    def named(cls, name: str, argument: int | None = None) -> "Fault":
        """The fault with this name. Raises ValueError for an unknown name or an argument that the fault does not take."""
        if name not in DEFAULT_ARGUMENTS:
            raise ValueError(f"unknown fault {name!r}; use one of: {', '.join(DEFAULT_ARGUMENTS)}")
        default = DEFAULT_ARGUMENTS[name]
        if argument is None:
            return cls(name, default or 0)
        if default is NO_ARGUMENT or argument < 0:
            raise ValueError(f"the fault {name!r} does not take the argument {argument}; leave it out, or use a number from 0")
        if name == "proxy" and not 300 <= argument <= 599:
            raise ValueError(f"the fault 'proxy' does not take the argument {argument}; use a status from 300 to 599")
        return cls(name, argument)

    @classmethod
    def of_model(cls, model: str) -> "Fault | None":
        """The fault that a model's name asks for, if any. Raises the API's 404 for a `sim-…` without a known fault."""
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
        """The error that this fault answers with, if it answers with one."""
        if self.name == "429":
            message = "This request would exceed your account's rate limit. Please try again later."
            return ApiError(429, "rate_limit_error", message, {"retry-after": str(self.argument)})
        if self.name == "529" or (self.name == "stream-error" and not stream):
            return ApiError(529, "overloaded_error", "Overloaded")
        if self.name == "proxy":
            return ProxyPage(self.argument)
        if self.name == "500":
            return ApiError(500, "api_error", "Internal server error")
        return None


@dataclass(slots=True)
class FaultRule:
    """A fault for the next `remaining` requests that match, or for all of them if it is None."""

    fault: Fault
    remaining: int | None = None
    input_contains: str | None = None
    model: str | None = None

    def applies_to(self, prompt: Prompt) -> bool:
        return self.model in (None, prompt.model) and (self.input_contains is None or self.input_contains in prompt.input)


@dataclass(slots=True)
class FaultRules:
    """The rules in force, oldest first. The first that applies decides."""

    rules: list[FaultRule] = field(default_factory=list)

    def add(self, rule: FaultRule) -> None:
        self.rules.append(rule)

    def clear(self) -> None:
        self.rules.clear()

    def fault_of(self, prompt: Prompt) -> Fault | None:
        """The fault of this request. Counts it against its rule. Raises the API's 404 for an unknown `sim-…`."""
        own = Fault.of_model(prompt.model)
        rule = next((rule for rule in self.rules if rule.applies_to(prompt)), None)
        return own if rule is None else self._take(rule)

    def _take(self, rule: FaultRule) -> Fault:
        if rule.remaining is not None:
            rule.remaining -= 1
            if rule.remaining == 0:
                self.rules.remove(rule)
        return rule.fault
