"""Permissions on board groups. All access to a group goes through this module."""

from dataclasses import dataclass
from enum import Enum
from functools import cache
from operator import itemgetter
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import Forbidden, NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import Board, BoardGroup, Member, Role, User
from services import organizations
from services.boards.visibility import USER_BOARDS, access_parameters


class GroupLock(Enum):
    """The row locks of a group, as options of `with_for_update`."""

    SHARED = {"read": True, "key_share": True}
    TO_CHANGE = {"key_share": True}
    TO_DELETE = {"key_share": False}


@dataclass(frozen=True)
class GroupPermissions:
    """A board group and the permissions of a user on it."""

    group: BoardGroup
    can_read: bool
    can_write: bool
    is_admin: bool


def _select_visible_groups() -> Select[BoardGroup, bool, bool, bool]:
    admin = Member.role.in_((Role.OWNER, Role.ADMIN))
    boards = USER_BOARDS.subquery()

    def any_board(permission: ColumnElement[bool]) -> ColumnElement[bool]:
        in_group = boards.c.board_group_id == BoardGroup.id
        return exists(select(boards.c.id).where(in_group, permission))

    is_empty = ~exists(select(Board.id).where(Board.board_group_id == BoardGroup.id))
    writes = or_(Member.all_boards_write, admin & is_empty, any_board(boards.c.writes))
    reads = or_(Member.all_boards_read, writes, any_board(boards.c.reads))
    return (
        select(BoardGroup, reads.label("reads"), writes.label("writes"), admin.label("admin"))
        .join(Member, Member.organization_id == BoardGroup.organization_id)
        .where(Member.user_id == bindparam("user_id"))
    )


VISIBLE_GROUPS = _select_visible_groups()
"""Selects the groups of the organizations of the user `user_id` with the columns of
`GroupPermissions`.

A user who may read or change one board of a group may do the same with the group. Only admins may
access a group without boards (contract people-and-boards 1.12)."""

_visible = VISIBLE_GROUPS.subquery()
READABLE_GROUP_IDS = select(_visible.c.id).where(_visible.c.reads)
"""Selects the ids of those of VISIBLE_GROUPS that the user may read."""

GROUP: Query[BoardGroup] = Query(
    select(BoardGroup).where(BoardGroup.id == bindparam("group_id")), itemgetter(0)
)


async def get_group(source: Source, user: User, group_id: UUID) -> BoardGroup:
    """Return a group of the user's current organization that the user may read.

    Raises NotFound or Forbidden.
    """
    return (await get_group_permissions(source, user, group_id)).group


async def find_group_of_board(source: Source, board: Board) -> BoardGroup | None:
    """Return the group of a board; it cannot be deleted while the board is locked."""
    if board.board_group_id is None:
        return None
    return await GROUP.first(source, group_id=board.board_group_id)


async def lock_group(session: AsyncSession, user: User, group_id: UUID) -> BoardGroup:
    """Return a group that the user may change, protected from deletion until the commit.

    Takes a shared lock. Raises NotFound or Forbidden.
    """
    permissions = await get_group_permissions(session, user, group_id, lock=GroupLock.SHARED)
    if not permissions.can_write:
        raise Forbidden("board_group_write_forbidden", "You may read this group, not change it.")
    return permissions.group


async def lock_group_as_admin(
    session: AsyncSession, user: User, group_id: UUID, *, to_delete: bool = False
) -> BoardGroup:
    """Return a group for an admin who may change it, locked until the commit.

    No board can join a group that is locked to be deleted. Lock boards before their group. Raises
    NotFound or Forbidden.
    """
    lock = GroupLock.TO_DELETE if to_delete else GroupLock.TO_CHANGE
    return await get_group_as_admin(session, user, group_id, lock=lock)


async def get_group_as_admin(
    source: Source, user: User, group_id: UUID, *, lock: GroupLock | None = None
) -> BoardGroup:
    """Return a group for an admin who may change it. Raises NotFound or Forbidden."""
    permissions = await get_group_permissions(source, user, group_id, lock=lock)
    if not (permissions.can_write and permissions.is_admin):
        reason = N_("Only an admin who may change this group can do that.")
        raise Forbidden("admin_required", reason, cause="group")
    return permissions.group


async def get_group_permissions(
    source: Source, user: User, group_id: UUID, *, lock: GroupLock | None = None
) -> GroupPermissions:
    """Return a group and a user's permissions on it.

    Raises NotFound if it is not in the user's current organization, Forbidden if it may not be
    read.
    """
    permissions = await _build_group_query(lock).first(source, user_id=user.id, group_id=group_id)
    if permissions is None:
        raise group_not_found()
    if not permissions.can_read:
        raise Forbidden("board_group_read_forbidden", "You may not read this group.")
    return permissions


@cache
def _build_group_query(lock: GroupLock | None) -> Query[GroupPermissions]:
    query = VISIBLE_GROUPS.where(
        BoardGroup.id == bindparam("group_id"),
        Member.id == organizations.current_membership_id_query(),
    )
    if lock is not None:
        query = query.with_for_update(of=BoardGroup, **lock.value)
    query = query.execution_options(populate_existing=True)
    return Query(query, lambda row: GroupPermissions(*row))


def group_not_found() -> NotFound:
    """Build the error for a group that does not exist or that the actor may not see."""
    return NotFound("board_group_not_found", N_("There is no such group in this organization."))


async def list_groups(source: Source, member: Member, paging: Paging) -> Page[BoardGroup]:
    """Return the groups of the member's organization that they may read, by name."""
    return await READABLE_GROUPS.fetch_page(source, paging, **access_parameters(member))


def _select_readable_groups() -> Select[BoardGroup]:
    in_organization = Member.organization_id == bindparam("organization_id")
    visible = VISIBLE_GROUPS.where(in_organization).subquery()
    query = select(BoardGroup).join(visible, visible.c.id == BoardGroup.id).where(visible.c.reads)
    return query.order_by(func.lower(BoardGroup.name), BoardGroup.created_at, BoardGroup.id)


READABLE_GROUPS: PagedQuery[BoardGroup] = PagedQuery(_select_readable_groups(), itemgetter(0))
