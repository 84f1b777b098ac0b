"""Roles and rights on boards, as the pages of people show and change them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel

from core.db.reads import Source
from core.errors import Invalid
from models import BoardAccess, Invite, InviteBoardAccess, Member, Role
from services import organizations
from services.organizations import AccessRights, BoardGrant, MemberDetail
from services.pickers import PickerKind, PickerOption
from web.pickers import Chosen, ChosenOption, load_chosen
from web.ui import forms
from web.ui.edited_fields import EditedField
from web.ui.translation import N_, _, ngettext, translate

ROLE_NAMES = {Role.OWNER: N_("Owner"), Role.ADMIN: N_("Admin"), Role.MEMBER: N_("Member")}
AccessLevel = Literal["none", "read", "write"]

READ_FIELD, WRITE_FIELD = "can_read", "can_write"
ALL_BOARDS = "all"
"""Stands for all boards among the ids of single ones."""


class AccessForm(BaseModel):
    """The access to all boards, or none, so that single boards count."""

    access: AccessLevel


def parse_access_rights(form: forms.Form) -> AccessRights:
    """Return the rights that a submitted form means. Raises Invalid.

    Rights on all boards replace the choices for single boards, which have no effect then. A board
    that can be edited can be read, too.
    """
    level = form.parse(AccessForm).access
    if level != "none":
        return AccessRights.parse({"all_boards_read": True, "all_boards_write": level == "write"})
    grants = []
    for text, board_level in _list_submitted(form).items():
        id = forms.parse_id(text)
        if id is None:
            reason = N_("Choose one of those that are offered.")
            raise Invalid("access_invalid", reason, field="board_access")
        grants.append(BoardGrant(board_id=id, can_write=board_level == "write"))
    return AccessRights.parse({"board_access": grants})


def _list_submitted(form: forms.Form) -> dict[str, AccessLevel]:
    """Return the submitted access to single boards, by the texts of their ids."""
    read: dict[str, AccessLevel] = {id: "read" for id in form.selected(READ_FIELD) if id}
    return {**read, **{id: "write" for id in form.selected(WRITE_FIELD) if id}}


def build_access_field(detail: MemberDetail) -> EditedField:
    """Return the access of a member to boards as one value, because its parts depend on another."""
    access = list_access_levels(detail)
    levels = {str(id): level for id, level in access.boards.items()}
    current = _list_rights(access.all_boards, levels)
    return EditedField(
        "access", N_("Access to boards"), current, column="board_ids", submitted=_read
    )


class AccessLevels(NamedTuple):
    """The access of a member to all boards, and to single ones by their ids."""

    all_boards: AccessLevel = "read"
    boards: Mapping[UUID, AccessLevel] = MappingProxyType({})


def list_access_levels(detail: MemberDetail) -> AccessLevels:
    """Return the access of a member to boards; grants without any right are left out."""
    member = detail.member
    all_boards = get_access_level(member.all_boards_read, member.all_boards_write)
    levels = {
        one.board_id: get_access_level(one.can_read, one.can_write) for one in detail.board_access
    }
    return AccessLevels(all_boards, {id: one for id, one in levels.items() if one != "none"})


def get_access_level(can_read: bool, can_write: bool) -> AccessLevel:
    """Return the level of two rights."""
    if can_write:
        return "write"
    return "read" if can_read else "none"


def _read(form: forms.Form) -> Sequence[str]:
    return _list_rights(form.value("access"), _list_submitted(form))


def _list_rights(all_boards: str, levels: Mapping[str, str]) -> list[str]:
    """Return the rights that have an effect, such as "3f…:read"."""
    if all_boards != "none":
        return [f"{ALL_BOARDS}:{all_boards}"]
    return [f"{id}:{level}" for id, level in levels.items()]


def name_access_values(names: Mapping[UUID, str]) -> Mapping[str, str]:
    """Return the texts of the values of `build_access_field`."""
    texts = {"": _("No boards")}
    named = [(ALL_BOARDS, _("All boards")), *((str(id), name) for id, name in names.items())]
    for key, board in named:
        texts[f"{key}:read"] = _("%(board)s: read", board=board)
        texts[f"{key}:write"] = _("%(board)s: read and edit", board=board)
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


MAX_NAMES = 3  # of boards in a row of a table

Grants = Sequence[BoardAccess] | Sequence[InviteBoardAccess]


@dataclass(frozen=True)
class AccessFields:
    """The fields of the access to boards, as a form shows them first."""

    access: AccessLevel
    can_read: Chosen
    can_write: Chosen


async def load_access_fields(
    source: Source,
    viewer: Member,
    form: forms.Form,
    detail: MemberDetail | None = None,
    *,
    shows_all: bool = False,
) -> AccessFields:
    """Return the fields of the access of a member; without one, those of a new invitation."""
    levels = list_access_levels(detail) if detail else AccessLevels()
    names = await organizations.list_board_names(source, viewer, levels.boards)
    chosen = []
    for field, level in [(READ_FIELD, "read"), (WRITE_FIELD, "write")]:
        known = [
            ChosenOption(str(id), PickerOption("board", str(id), name))
            for id, name in names.items()
            if levels.boards[id] == level
        ]
        kind, current = PickerKind.ORGANIZATION_BOARDS, [one.value for one in known]
        chosen.append(
            await load_chosen(
                source, viewer, kind, field, form, current, known=known, shows_all=shows_all
            )
        )
    return AccessFields(levels.all_boards, *chosen)


@dataclass(frozen=True)
class MemberRow:
    """A member in the table of people, with what the viewer may see and do."""

    member: Member
    access: str
    last_active: datetime | None
    can_open: bool


def describe_access(holder: Member | Invite, grants: Grants, names: Mapping[UUID, str]) -> str:
    """Describe rights on boards, such as "Can read Launch; can edit Garden"."""
    level = get_access_level(holder.all_boards_read, holder.all_boards_write)
    if level != "none":
        return _("Can edit all boards") if level == "write" else _("Can read all boards")
    read, written = _split_grants(grants)
    if read and written:
        return _(
            "Can read %(read)s; can edit %(written)s",
            read=_list_names(read, names),
            written=_list_names(written, names),
        )
    if read:
        return _("Can read %(boards)s", boards=_list_names(read, names))
    if written:
        return _("Can edit %(boards)s", boards=_list_names(written, names))
    return _("No boards")


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


def list_described_boards(grants: Iterable[Grants]) -> set[UUID]:
    """Return the ids of the boards that `describe_access` names."""
    return {id for one in grants for ids in _split_grants(one) for id in ids[:MAX_NAMES]}


def _split_grants(grants: Grants) -> tuple[list[UUID], list[UUID]]:
    """Return the ids of the boards that can only be read, and of those that can be edited."""
    read = [one.board_id for one in grants if one.can_read and not one.can_write]
    return read, [one.board_id for one in grants if one.can_write]


def _list_names(ids: Sequence[UUID], names: Mapping[UUID, str]) -> str:
    """List the first names, so that they fit into a row of a table."""
    shown = ", ".join(names.get(id, _("Unknown")) for id in ids[:MAX_NAMES])
    rest = len(ids) - MAX_NAMES
    if rest <= 0:
        return shown
    return ngettext("%(names)s and %(num)d more", "%(names)s and %(num)d more", rest, names=shown)
