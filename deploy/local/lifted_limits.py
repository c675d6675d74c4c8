"""The limits that tests and benchmarks lift, because nearly all of their load comes from one user and one address."""

from collections.abc import Mapping

from deploy.local.errors import LaunchError

LIFTED: dict[str, str] = dict.fromkeys(
    (
        *("LIMIT_AGENT_CALLS", "LIMIT_AGENT_CALLS_OF_KEY", "LIMIT_AGENT_CALLS_IN_FLIGHT", "LIMIT_STEPS_IN_FLIGHT", "LIMIT_CALLS"),
        *("LIMIT_STREAMS_OF_USER", "LIMIT_STREAMS_OF_ADDRESS", "LIMIT_STREAMS", "LIMIT_ANONYMOUS_STREAMS"),
        "LIMIT_CONNECTIONS_OF_ADDRESS",
        *("LIMIT_LOGINS_OF_ADDRESS", "LIMIT_OPEN_CALLS_OF_ADDRESS", "LIMIT_FAILED_CREDENTIALS_OF_ADDRESS"),
    ),
    "1000000000",
)
"""Settings for the platform's processes and the gateway. Add each new limit here or to KEPT."""
KEPT = frozenset(
    {
        "LIMIT_API_KEYS_OF_USER",
        "LIMIT_LOGINS",
        "LIMIT_PASSWORD_CHECKS_WAITING",
        "LIMIT_CONTEXT_BYTES",
        "LIMIT_CONTEXT_NODES",
        "LIMIT_CONNECTIONS",
    }
)
"""Limits that are never lifted: no test reaches them by accident, and without them one caller could starve all others."""


def lifted(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The settings that lift the limits if the environment has LIMITS=off; none otherwise. Raises LaunchError for other values."""
    given = environment.get("LIMITS", "on") or "on"
    if given not in ("on", "off"):
        raise LaunchError(f"invalid LIMITS={given}: use on, or off to lift the limits for benchmarks")
    return LIFTED if given == "off" else {}
