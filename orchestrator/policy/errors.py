"""The errors of the policy.

MeshError
└── PolicyDenied        POLICY_DENIED
"""

from mesh.errors import MeshError


class PolicyDenied(MeshError):
    """The policy does not allow the action, or could not be evaluated."""

    reason = "POLICY_DENIED"


class PolicyUnavailable(Exception):
    """The policy engine gave no decision: unreachable, too slow, or an invalid answer. Never leaves this package."""
