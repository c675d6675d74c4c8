"""One turn of an agent, and its guardrails."""
