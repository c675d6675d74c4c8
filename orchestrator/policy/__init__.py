"""Who may do what, as the policy in `deploy/policy/` decides it."""
