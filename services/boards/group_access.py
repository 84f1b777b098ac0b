"""Permissions on board groups. All access to a group goes through this module."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Forbidden, NotFound
from core.paging import Page, Paging, fetch_page
from models import Board, BoardGroup, Member, Role, User
from services import organizations
from services.boards.access import visible_boards_query


@dataclass(frozen=True)
class GroupPermissions:
    """A board group and the permissions of a user on it."""

    group: BoardGroup
    can_read: bool
    can_write: bool
    is_admin: bool


def visible_groups_query(user: User) -> Select[BoardGroup, bool, bool, bool]:
    """Select the groups of a user's organizations with the columns of `GroupPermissions`.

    A user who may read or change one board of a group may do the same with the group. Only admins
    may access a group without boards (contract people-and-boards 1.12).
    """
    admin = Member.role.in_((Role.OWNER, Role.ADMIN))
    boards = visible_boards_query(user).subquery()

    def any_board(permission: ColumnElement[bool]) -> ColumnElement[bool]:
        in_group = boards.c.board_group_id == BoardGroup.id
        return exists(select(boards.c.id).where(in_group, permission))

    is_empty = ~exists(select(Board.id).where(Board.board_group_id == BoardGroup.id))
    writes = or_(Member.all_boards_write, admin & is_empty, any_board(boards.c.writes))
    reads = or_(Member.all_boards_read, writes, any_board(boards.c.reads))
    return (
        select(BoardGroup, reads.label("reads"), writes.label("writes"), admin.label("admin"))
        .join(Member, Member.organization_id == BoardGroup.organization_id)
        .where(Member.user_id == user.id)
    )


async def get_group(session: AsyncSession, user: User, group_id: UUID) -> BoardGroup:
    """Return a group of the user's current organization that the user may read.

    Raises NotFound or Forbidden.
    """
    return (await get_group_permissions(session, user, group_id)).group


async def find_group_of_board(session: AsyncSession, board: Board) -> BoardGroup | None:
    """Return the group of a board; it cannot be deleted while the board is locked."""
    if board.board_group_id is None:
        return None
    return await session.get(BoardGroup, board.board_group_id)


async def lock_group(session: AsyncSession, user: User, group_id: UUID) -> BoardGroup:
    """Return a group that the user may change, protected from deletion until the commit.

    Takes a shared lock. Raises NotFound or Forbidden.
    """
    permissions = await get_group_permissions(
        session, user, group_id, locked={"read": True, "key_share": True}
    )
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
    permissions = await get_group_permissions(
        session, user, group_id, locked={"key_share": not to_delete}
    )
    if not (permissions.can_write and permissions.is_admin):
        raise Forbidden("admin_required", "Only an admin who may change this group can do that.")
    return permissions.group


async def get_group_permissions(
    session: AsyncSession, user: User, group_id: UUID, *, locked: dict[str, Any] | None = None
) -> GroupPermissions:
    """Return a group and a user's permissions on it. `locked` has the options of the row lock.

    Raises NotFound if it is not in the user's current organization, Forbidden if it may not be
    read.
    """
    query = visible_groups_query(user).where(
        BoardGroup.id == group_id, Member.id == organizations.current_membership_id_query(user)
    )
    if locked is not None:
        query = query.with_for_update(of=BoardGroup, **locked)
    row = (await session.execute(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        raise group_not_found()
    permissions = GroupPermissions(*row)
    if not permissions.can_read:
        raise Forbidden("board_group_read_forbidden", "You may not read this group.")
    return permissions


def group_not_found() -> NotFound:
    """Build the error for a group that does not exist or that the actor may not see."""
    return NotFound("board_group_not_found", "There is no such group of boards.")


async def list_groups(session: AsyncSession, member: Member, paging: Paging) -> Page[BoardGroup]:
    """Return the groups of the member's organization that they may read, by name."""
    in_organization = Member.organization_id == member.organization_id
    visible = visible_groups_query(member.user).where(in_organization).subquery()
    query = select(BoardGroup).join(visible, visible.c.id == BoardGroup.id).where(visible.c.reads)
    by_name = (func.lower(BoardGroup.name), BoardGroup.created_at, BoardGroup.id)
    return await fetch_page(session, query.order_by(*by_name), paging)
