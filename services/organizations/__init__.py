"""Organizations: which one somebody works in, and how they are made and renamed."""

from services.organizations.edits import create, rename, switch
from services.organizations.members import active, current, membership, memberships, own_access
from services.organizations.rules import require_admin

__all__ = [
    "active",
    "create",
    "current",
    "membership",
    "memberships",
    "own_access",
    "rename",
    "require_admin",
    "switch",
]
