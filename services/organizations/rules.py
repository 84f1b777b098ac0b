"""Rules of organizations: who may do what to whom, by role."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator

from core.clock import now
from core.errors import Conflict, Forbidden, Invalid, RecentSignInRequired
from core.text import N_
from models import Member, Organization, Role

LAST_OWNER = N_("An organization has at least one owner. Make somebody else an owner first.")
ROLE_RANK = {Role.MEMBER: 0, Role.ADMIN: 1, Role.OWNER: 2}

RequestRole = Annotated[
    Role, BeforeValidator(lambda given: given.strip().lower() if isinstance(given, str) else given)
]
"""A role in a request. Surrounding whitespace and case are ignored."""


def require_admin(member: Member) -> None:
    """Raise Forbidden unless the member is an admin or owner."""
    if not member.is_admin:
        raise Forbidden("admin_required", N_("Only an admin of the organization can do that."))


def require_owner(member: Member) -> None:
    """Raise Forbidden unless the member is an owner."""
    if member.role is not Role.OWNER:
        raise Forbidden("owner_required", N_("Only an owner of the organization can do that."))


def require_recent_sign_in(signed_in_at: datetime | None) -> None:
    """Raise RecentSignInRequired unless the user has signed in recently.

    `signed_in_at` is when the user proved who they are in the browser that makes the request; a
    request with a token has none.
    """
    if signed_in_at is None or now() - signed_in_at >= timedelta(minutes=15):
        raise RecentSignInRequired


def check_recent_sign_in(signed_in_at: datetime | None, *roles: Role) -> None:
    """Raise RecentSignInRequired if a role is that of an owner, without a recent sign-in."""
    if Role.OWNER in roles:
        require_recent_sign_in(signed_in_at)


def check_may_manage_role(acting: Member, role: Role) -> None:
    """Raise Forbidden if the role is above that of the acting member."""
    if ROLE_RANK[role] > ROLE_RANK[acting.role]:
        raise Forbidden(
            "owner_required", N_("Only an owner can change the owners and what they may do.")
        )


def check_may_grant_role(acting: Member, role: Role) -> None:
    """Raise Forbidden if the acting member grants a role above their own.

    In organizations where only owners appoint admins, also if an admin appoints one.
    """
    if ROLE_RANK[role] > ROLE_RANK[acting.role]:
        raise Forbidden("role_above_own", N_("You cannot assign a role above yours."))
    if not may_appoint_admins(acting) and role is Role.ADMIN:
        raise Forbidden(
            "only_owners_appoint_admins", N_("In this organization only owners appoint admins.")
        )


def may_appoint_admins(member: Member) -> bool:
    """Return whether a member may make others admins, by role or by invitation."""
    is_allowed = member.is_admin and not member.organization.only_owners_appoint_admins
    return is_allowed or member.role is Role.OWNER


def check_role_change(acting: Member, member: Member, role: Role, *, owners: int) -> None:
    """Raise Forbidden or Invalid if the acting member may not give the member this role."""
    check_may_manage_role(acting, member.role)
    if role is not member.role:
        check_may_grant_role(acting, role)
    if member.role is Role.OWNER and role is not Role.OWNER and owners == 1:
        raise Invalid("last_owner", LAST_OWNER, field="role", sent_as="text")


def check_removal(acting: Member, member: Member) -> None:
    """Raise Forbidden if the acting member may not remove the member.

    An owner always remains: only owners remove owners, and nobody removes themselves.
    """
    if acting.id == member.id:
        raise Forbidden("self_removal", N_("You cannot remove yourself. Another admin can do it."))
    check_may_manage_role(acting, member.role)


def check_name_is_free(name: str, others: Iterable[Organization]) -> None:
    """Raise Conflict if the user already belongs to an organization of this name.

    Names of other organizations are not compared, so that nobody learns about them.
    """
    if any(other.name.casefold() == name.casefold() for other in others):
        reason = N_("You already belong to an organization of this name.")
        raise Conflict("organization_name_taken", reason, field="name")
