"""Roles and rights on boards, as the pages of people show and change them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from pydantic import BaseModel

from core.errors import Invalid
from models import BoardAccess, Invite, InviteBoardAccess, Member, Role
from services import organizations
from services.organizations import AccessRights, BoardGrant, MemberDetail
from web.ui import forms
from web.ui.edited_fields import EditedField
from web.ui.translation import N_, _, ngettext, translate

ROLE_NAMES = {Role.OWNER: N_("Owner"), Role.ADMIN: N_("Admin"), Role.MEMBER: N_("Member")}
BOARD_FIELD = "board-"
"""Each board has a field with this beginning and its id, because radio buttons need own names."""

AccessLevel = Literal["none", "read", "write"]


class AccessForm(BaseModel):
    """The access to all boards: read, write, or none, so that single boards count."""

    access: AccessLevel


def parse_access_rights(form: forms.Form) -> AccessRights:
    """Return the rights that a submitted access table means. Raises Invalid.

    Rights on all boards replace the choices for single boards, which have no effect then.
    """
    level = form.parse(AccessForm).access
    if level != "none":
        return AccessRights.parse({"all_boards_read": True, "all_boards_write": level == "write"})
    chosen = [
        (forms.parse_id(name.removeprefix(BOARD_FIELD)), values[-1])
        for name, values in form.values.items()
        if name.startswith(BOARD_FIELD)
    ]
    if any(id is None or value not in get_args(AccessLevel) for id, value in chosen):
        reason = N_("Choose one of those that are offered.")
        raise Invalid("access_invalid", reason, field="board_access")
    return AccessRights.parse(
        {
            "board_access": [
                BoardGrant(board_id=id, can_write=value == "write")
                for id, value in chosen
                if id is not None and value != "none"
            ]
        }
    )


def parse_changed_rights(form: forms.Form, detail: MemberDetail) -> AccessRights:
    """Return the rights of a member after an edit: boards that the form does not have are kept."""
    rights = parse_access_rights(form)
    if rights.covers_all_boards:
        return rights
    kept = [
        BoardGrant(board_id=one.board_id, can_read=one.can_read, can_write=one.can_write)
        for one in detail.board_access
        if f"{BOARD_FIELD}{one.board_id}" not in form.values
    ]
    return AccessRights.parse({"board_access": [*rights.board_access, *kept]})


def build_access_field(detail: MemberDetail, form: forms.Form | None = None) -> EditedField:
    """Return the access table of a member as one value, because its rows depend on each other.

    Boards that the form does not have are kept by it, unless it gives access to all boards.
    """
    all_boards, levels = list_access_levels(detail)
    if form is not None and form.value("access") == "none":
        levels = {name: level for name, level in levels.items() if name in form.values}
    current = _list_rights(all_boards, levels)
    return EditedField(
        "access", N_("Access to boards"), current, column="board_ids", submitted=_read
    )


def list_access_levels(detail: MemberDetail) -> tuple[AccessLevel, Mapping[str, AccessLevel]]:
    """Return the access of a member to all boards, and to single ones by the names of fields."""
    member, grants = detail.member, detail.board_access
    all_boards = get_access_level(member.all_boards_read, member.all_boards_write)
    levels = {
        f"{BOARD_FIELD}{one.board_id}": get_access_level(one.can_read, one.can_write)
        for one in grants
    }
    return all_boards, levels


def get_access_level(can_read: bool, can_write: bool) -> AccessLevel:
    """Return the level of two rights."""
    if can_write:
        return "write"
    return "read" if can_read else "none"


def _read(form: forms.Form) -> Sequence[str]:
    levels = {name: form.value(name) for name in form.values if name.startswith(BOARD_FIELD)}
    return _list_rights(form.value("access"), levels)


def _list_rights(all_boards: str, levels: Mapping[str, str]) -> list[str]:
    """Return the rights that have an effect, such as "board-3f…:read"."""
    if all_boards != "none":
        return [f"access:{all_boards}"]
    return [f"{name}:{level}" for name, level in levels.items() if level != "none"]


def name_access_values(boards: Mapping[str, str]) -> Mapping[str, str]:
    """Return the texts of the values of `build_access_field`; `boards` are names by field."""
    texts = {"": _("No boards")}
    for name, board in [("access", _("All boards")), *boards.items()]:
        texts[f"{name}:read"] = _("%(board)s: read", board=board)
        texts[f"{name}:write"] = _("%(board)s: read and edit", board=board)
    return texts


def parse_invited_rights(form: forms.Form) -> AccessRights:
    """Return the rights of an invitation, which has at least one. Raises Invalid."""
    rights = parse_access_rights(form)
    if not rights.covers_all_boards and not rights.board_access:
        raise Invalid("access_required", N_("Choose at least one board."), field="board_access")
    return rights


def list_role_options(member: Member, current: Role | None = None) -> list[tuple[str, str]]:
    """Return the roles that a member may give, and the current one, with their names."""
    allowed = {Role.MEMBER, current}
    if organizations.may_appoint_admins(member):
        allowed.add(Role.ADMIN)
    if member.role is Role.OWNER:
        allowed.add(Role.OWNER)
    return [(role.value, translate(ROLE_NAMES[role])) for role in Role if role in allowed]


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
    """Describe rights on boards, such as "Can read Launch; can edit Garden"."""
    level = get_access_level(holder.all_boards_read, holder.all_boards_write)
    if level != "none":
        return _("Can edit all boards") if level == "write" else _("Can read all boards")
    known = [one for one in grants if one.board_id in names]
    written = [names[one.board_id] for one in known if one.can_write]
    read = [names[one.board_id] for one in known if one.can_read and not one.can_write]
    if read and written:
        return _(
            "Can read %(read)s; can edit %(written)s",
            read=_list_names(read),
            written=_list_names(written),
        )
    if read:
        return _("Can read %(boards)s", boards=_list_names(read))
    return _("Can edit %(boards)s", boards=_list_names(written)) if written else _("No boards")


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


def _list_names(names: Sequence[str]) -> str:
    """List the first names, so that they fit into a row of a table."""
    shown, rest = ", ".join(names[:3]), len(names) - 3
    if rest <= 0:
        return shown
    return ngettext("%(names)s and %(num)d more", "%(names)s and %(num)d more", rest, names=shown)
