"""The tokens that a provider call used. Errors carry them too, so that a failed call is recorded with its cost."""

from collections.abc import Mapping
from dataclasses import dataclass

MOST_TOKENS = 2**31 - 1
"""The largest number that the contract and the database can store."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The tokens of one provider call. `estimated` means that the provider did not report them; then they are upper bounds."""

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False

    def __post_init__(self) -> None:
        """Replaces numbers that cannot be stored with the nearest that can, and marks the usage as estimated: it must be recorded."""
        if not (
            0 <= self.input_tokens <= MOST_TOKENS
            and 0 <= self.output_tokens <= MOST_TOKENS
            and 0 <= self.cache_read_tokens <= MOST_TOKENS
            and 0 <= self.cache_write_tokens <= MOST_TOKENS
        ):
            for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
                object.__setattr__(self, name, min(max(getattr(self, name), 0), MOST_TOKENS))
            object.__setattr__(self, "estimated", True)

    def to_details(self) -> dict[str, str]:
        """The usage as details of an error."""
        return {
            "usage_model": self.model,
            "input_tokens": str(self.input_tokens),
            "output_tokens": str(self.output_tokens),
            "cache_read_tokens": str(self.cache_read_tokens),
            "cache_write_tokens": str(self.cache_write_tokens),
            "usage_estimated": "true" if self.estimated else "false",
        }

    @classmethod
    def from_details(cls, details: Mapping[str, str]) -> "TokenUsage | None":
        """The usage in the details of an error; None if they contain none, as nothing was bought. Raises ValueError if it is invalid."""
        if "usage_model" not in details:
            return None
        return cls(
            model=details["usage_model"],
            input_tokens=int(details.get("input_tokens", "")),
            output_tokens=int(details.get("output_tokens", "")),
            cache_read_tokens=int(details.get("cache_read_tokens", "")),
            cache_write_tokens=int(details.get("cache_write_tokens", "")),
            estimated=details.get("usage_estimated") == "true",
        )
