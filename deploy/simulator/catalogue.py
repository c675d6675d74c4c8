"""The model names that the simulator accepts."""

import re

from deploy.simulator.errors import ApiError

# Retired by 2026-11-22: generations 1 to 3 whole, the first releases of generation 4, and a preview that ended
# (DEPRECATED_MODELS of the SDK 2.12, with the dates of https://docs.anthropic.com/en/docs/about-claude/model-deprecations).
_RETIRED = re.compile(r"claude-(?:1|2|3|instant)\b.*|claude-(?:opus|sonnet)-4-(?:0|20250514)|claude-mythos-preview")


def check_model(model: str) -> None:
    """Raises the API's 404 for a retired model and for a name that is not a model's.

    Any other `claude-…` is accepted, because the simulator cannot know later releases.
    """
    if not model.startswith(("claude-", "sim-")) or _RETIRED.fullmatch(model):
        raise ApiError.not_found(f"model: {model}")
