from collections import OrderedDict
from dataclasses import dataclass

from deploy.simulator.messages.prompt import Prompt
from mesh.clock import SYSTEM_CLOCK, Clock

MOST_PREFIXES = 20_000


@dataclass(frozen=True, slots=True)
class InputUsage:
    """The input tokens of one request by price. Their sum is the size of the prompt."""

    uncached: int = 0
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0

    @property
    def written(self) -> int:
        """Tokens written to the cache."""
        return self.written_5m + self.written_1h


class PromptCache:
    """The prefixes of prompts that the provider has cached.

    A prefix that ends at a breakpoint is written to the cache when it is first seen and read from then on, until it has not been used
    for its time to live. The API's minimum size of a cacheable prefix (512 to 4,096 tokens, depending on the model) is not applied.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._ends: OrderedDict[bytes, float] = OrderedDict()

    def usage_of(self, prompt: Prompt) -> InputUsage:
        """What this prompt reads from the cache and writes to it. Afterwards all its prefixes are cached."""
        now = self._now()
        read = done = 0
        written = {300: 0, 3_600: 0}
        for end in prompt.breakpoints:
            if self._ends.get(end.digest, 0.0) > now:
                read = done = end.tokens
                written = dict.fromkeys(written, 0)
            else:
                written[end.ttl_seconds] += end.tokens - done
                done = end.tokens
            self._keep(end.digest, now + end.ttl_seconds)
        return InputUsage(prompt.tokens - done, read, written[300], written[3_600])

    def _keep(self, digest: bytes, until: float) -> None:
        self._ends[digest] = until
        self._ends.move_to_end(digest)
        if len(self._ends) > MOST_PREFIXES:
            self._ends.popitem(last=False)
