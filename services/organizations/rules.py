"""Who may do what in an organization, and how one may be called. Pure."""

from collections.abc import Iterable

from kit.errors import Conflict, Forbidden
from kit.values import words
from models import Member, Organization

LONGEST_NAME = 200  # characters

name_of_organization = words(LONGEST_NAME)


def require_admin(member: Member) -> None:
    """Raise Forbidden unless the member looks after the organization."""
    if not member.is_admin:
        raise Forbidden("admin_required", "Only an admin of the organization can do that.")


def check_name_is_free(name: str, others: Iterable[Organization]) -> None:
    """Raise Conflict if a person already belongs to an organization of this name.

    What strangers call theirs is not asked, so that nobody learns of it (contract, S24).
    """
    if any(other.name.casefold() == name.casefold() for other in others):
        reason = "You already belong to an organization of this name."
        raise Conflict("organization_name_taken", reason, field="name")
