"""Who may read and change which group of boards. Every way to a group starts here."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, NotFound
from models import Board, BoardGroup, Member, Role, User
from services import boards, organizations


@dataclass(frozen=True)
class Access:
    """A group, and what somebody may do with it."""

    group: BoardGroup
    can_read: bool
    can_write: bool
    is_admin: bool


def seen_by(user: User) -> Select[BoardGroup, bool, bool, bool]:
    """Select the groups of a person's organizations, with: may read, may change, is admin.

    Whoever reads, or changes, one board of a group may do the same to the group. A group without
    boards is for admins (contract, people-and-boards 1.12).
    """
    admin = Member.role.in_((Role.OWNER, Role.ADMIN))
    own = boards.seen_by(user).subquery()

    def one_that(right: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists(select(own.c.id).where(own.c.board_group_id == BoardGroup.id, right))

    is_empty = ~exists(select(Board.id).where(Board.board_group_id == BoardGroup.id))
    writes = or_(Member.all_boards_write, admin & is_empty, one_that(own.c.writes))
    reads = or_(Member.all_boards_read, writes, one_that(own.c.reads))
    return (
        select(BoardGroup, reads.label("reads"), writes.label("writes"), admin.label("admin"))
        .join(Member, Member.organization_id == BoardGroup.organization_id)
        .where(Member.user_id == user.id)
    )


async def get(session: AsyncSession, user: User, group_id: UUID) -> BoardGroup:
    """Return a group that a person may read, of the organization in which they work.

    Raises NotFound or Forbidden.
    """
    return (await access(session, user, group_id)).group


async def of_board(session: AsyncSession, board: Board) -> BoardGroup | None:
    """Return the group that a board is in, which stays as long as the board is held."""
    if board.board_group_id is None:
        return None
    return await session.get(BoardGroup, board.board_group_id)


async def writing(session: AsyncSession, user: User, group_id: UUID) -> BoardGroup:
    """Return a group that a person may change, and that stays until the commit.

    Raises NotFound or Forbidden.
    """
    held = await access(session, user, group_id, locked={"read": True, "key_share": True})
    if not held.can_write:
        raise Forbidden("board_group_write_forbidden", "You may read this group, not change it.")
    return held.group


async def hold_as_admin(
    session: AsyncSession, user: User, group_id: UUID, *, to_delete: bool = False
) -> BoardGroup:
    """Return a group for an admin who may change it, and that nobody else holds until the commit.

    While it is held to be deleted no board can join it. Whoever needs its boards too holds those
    before. Raises NotFound or Forbidden.
    """
    held = await access(session, user, group_id, locked={"key_share": not to_delete})
    if not (held.can_write and held.is_admin):
        raise Forbidden("admin_required", "Only an admin who may change this group can do that.")
    return held.group


async def access(
    session: AsyncSession, user: User, group_id: UUID, *, locked: dict[str, Any] | None = None
) -> Access:
    """Return a group and a person's rights, locked in this way if it is to be.

    Raises NotFound if it is not of the organization in which they work, Forbidden if it may not
    be read.
    """
    query = seen_by(user).where(
        BoardGroup.id == group_id, Member.id == organizations.current_id(user)
    )
    if locked is not None:
        query = query.with_for_update(of=BoardGroup, **locked)
    row = (await session.execute(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        raise not_found()
    found = Access(*row)
    if not found.can_read:
        raise Forbidden("board_group_read_forbidden", "You may not read this group.")
    return found


def not_found() -> NotFound:
    """Make the answer to who asks for a group that is not there, or not for them."""
    return NotFound("board_group_not_found", "There is no such group of boards.")
