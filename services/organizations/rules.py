"""Who may do what in an organization, and how one may be called. Pure."""

from collections.abc import Iterable

from kit.errors import Conflict, Forbidden, Invalid
from kit.values import words
from models import Member, Organization, Role

LONGEST_NAME = 200  # characters

name_of_organization = words(LONGEST_NAME)

RANK = {Role.MEMBER: 0, Role.ADMIN: 1, Role.OWNER: 2}


def require_admin(member: Member) -> None:
    """Raise Forbidden unless the member looks after the organization."""
    if not member.is_admin:
        raise Forbidden("admin_required", "Only an admin of the organization can do that.")


def require_owner(member: Member) -> None:
    """Raise Forbidden unless the organization is the member's."""
    if member.role is not Role.OWNER:
        raise Forbidden("owner_required", "Only an owner of the organization can do that.")


def check_may_touch(by: Member, role: Role) -> None:
    """Raise Forbidden if somebody of this role, or invited to it, stands above who acts."""
    if RANK[role] > RANK[by.role]:
        raise Forbidden("owner_required", "Only an owner changes what owners are and may.")


def check_may_give(by: Member, role: Role) -> None:
    """Raise Forbidden if the role is above that of who gives it (contract, S6)."""
    if RANK[role] > RANK[by.role]:
        raise Forbidden("role_above_own", "Nobody gives a role that is above their own.")


def check_role_change(by: Member, member: Member, role: Role, *, owners: int) -> None:
    """Raise Forbidden or Invalid if the member may not be given this role by who acts."""
    check_may_touch(by, member.role)
    check_may_give(by, role)
    if member.role is Role.OWNER and role is not Role.OWNER and owners == 1:
        reason = "An organization has at least one owner. Make somebody else an owner first."
        raise Invalid("last_owner", reason, field="role")


def check_removal(by: Member, member: Member) -> None:
    """Raise Forbidden if the member may not be removed by who acts.

    An owner stays in any case: only owners remove owners, and nobody removes themselves.
    """
    if by.id == member.id:
        raise Forbidden("self_removal", "Nobody removes themselves. Another admin can do it.")
    check_may_touch(by, member.role)


def higher(one: Role, other: Role) -> Role:
    """Return the role with more rights."""
    return max(one, other, key=RANK.__getitem__)


def check_name_is_free(name: str, others: Iterable[Organization]) -> None:
    """Raise Conflict if a person already belongs to an organization of this name.

    What strangers call theirs is not asked, so that nobody learns of it (contract, S24).
    """
    if any(other.name.casefold() == name.casefold() for other in others):
        reason = "You already belong to an organization of this name."
        raise Conflict("organization_name_taken", reason, field="name")
