"""Limits that no test reaches unless it means to: nearly all load of the tests comes from one user and one address."""

LIFTED = dict.fromkeys(
    (
        *("LIMIT_AGENT_CALLS", "LIMIT_AGENT_CALLS_OF_KEY", "LIMIT_AGENT_CALLS_IN_FLIGHT", "LIMIT_STEPS_IN_FLIGHT", "LIMIT_CALLS"),
        *("LIMIT_LOGINS_OF_ADDRESS", "LIMIT_OPEN_CALLS_OF_ADDRESS", "LIMIT_FAILED_CREDENTIALS_OF_ADDRESS"),
    ),
    "1000000000",
)
