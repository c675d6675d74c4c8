"""What can go wrong with a permission.

MeshError
└── PolicyDenied        POLICY_DENIED
"""

from mesh.errors import MeshError


class PolicyDenied(MeshError):
    """The policy does not allow it, or gave no decision."""

    reason = "POLICY_DENIED"


class PolicyUnavailable(Exception):
    """The policy engine gave no decision: it is gone, too slow, or answers something else. Never leaves the feature."""
