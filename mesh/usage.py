"""What a provider call used; and how an error carries it, so that a call that failed stands in the books with its cost."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one provider call. `estimated` means that the provider did not say and these are upper bounds."""

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False

    def to_details(self) -> dict[str, str]:
        """As the metadata of an error."""
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
        """What the metadata of an error says, or None when nothing was bought."""
        if "usage_model" not in details:
            return None
        return cls(
            model=details["usage_model"],
            input_tokens=int(details["input_tokens"]),
            output_tokens=int(details["output_tokens"]),
            cache_read_tokens=int(details["cache_read_tokens"]),
            cache_write_tokens=int(details["cache_write_tokens"]),
            estimated=details["usage_estimated"] == "true",
        )
