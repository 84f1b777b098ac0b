"""Values for the templates of the organization's pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from models import BoardAccess, Invite, InviteBoardAccess, Member, Role
from services.organizations import MemberDetail
from web.organizations.forms import (
    BOARD_FIELD,
    AccessLevel,
    get_access_level,
    list_access_levels,
)
from web.ui.translation import _, ngettext

MAX_NAMES = 3  # names of boards in one row of a table

Grants = Sequence[BoardAccess] | Sequence[InviteBoardAccess]


@dataclass(frozen=True)
class AccessTable:
    """The choices of an access table: of all boards, and of each board by the name of its field."""

    boards: Mapping[str, str]
    access: AccessLevel = "read"
    levels: Mapping[str, AccessLevel] = field(default_factory=dict)


@dataclass(frozen=True)
class MemberRow:
    """A member in the table of people, with what the viewer may see and do."""

    member: Member
    access: str
    last_active: datetime | None
    can_open: bool


def build_access_table(
    names: Mapping[UUID, str], detail: MemberDetail | None = None
) -> AccessTable:
    """Return the access table of a member; without one, that of a new invitation."""
    boards = {f"{BOARD_FIELD}{id}": name for id, name in names.items()}
    return AccessTable(boards, *list_access_levels(detail)) if detail else AccessTable(boards)


def describe_access(holder: Member | Invite, grants: Grants, names: Mapping[UUID, str]) -> str:
    """Describe rights on boards, such as "Reads Launch and changes Garden"."""
    level = get_access_level(holder.all_boards_read, holder.all_boards_write)
    if level != "none":
        return _("Changes all boards") if level == "write" else _("Reads all boards")
    known = [one for one in grants if one.board_id in names]
    read = [names[one.board_id] for one in known if _grant_level(one) == "read"]
    written = [names[one.board_id] for one in known if _grant_level(one) == "write"]
    return _describe_boards(_list_names(read), _list_names(written))


def _describe_boards(read: str, written: str) -> str:
    if read and written:
        return _("Reads %(read)s; changes %(written)s", read=read, written=written)
    if read:
        return _("Reads %(boards)s", boards=read)
    return _("Changes %(boards)s", boards=written) if written else _("No boards")


def build_member_rows(
    viewer: Member,
    details: Sequence[MemberDetail],
    names: Mapping[UUID, str],
    last_active: Mapping[UUID, datetime],
) -> list[MemberRow]:
    """Return the rows of the table of people. Only admins see the rights of others."""
    return [
        MemberRow(
            one.member,
            describe_access(one.member, one.board_access, names) if viewer.is_admin else "",
            last_active.get(one.member.id),
            viewer.is_admin or one.member.id == viewer.id,
        )
        for one in details
    ]


def may_manage(viewer: Member, member: Member) -> bool:
    """Return whether the viewer may change the access of a member."""
    return viewer.is_admin and (member.role is not Role.OWNER or viewer.role is Role.OWNER)


def explain_fixed_role(viewer: Member, member: Member, *, owners: int) -> str:
    """Return why the viewer cannot change the role of a member, or ""."""
    if not viewer.is_admin:
        return _("Only an admin can change roles and access.")
    if not may_manage(viewer, member):
        return _("Only an owner can change or remove an owner.")
    if member.role is Role.OWNER and owners == 1:
        return _(
            "An organization has at least one owner. Make another member an owner first; then this"
            " role can be changed."
        )
    return ""


def _grant_level(grant: BoardAccess | InviteBoardAccess) -> AccessLevel:
    return get_access_level(grant.can_read, grant.can_write)


def _list_names(names: Sequence[str]) -> str:
    shown, rest = ", ".join(names[:MAX_NAMES]), len(names) - MAX_NAMES
    if rest <= 0:
        return shown
    return ngettext("%(names)s and %(num)d more", "%(names)s and %(num)d more", rest, names=shown)
