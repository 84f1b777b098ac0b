"""Change which boards belong to a board group."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import AppError, Invalid, NotFound
from core.text import N_
from models import Board, BoardGroup, Member, User
from services.boards.access import lock_boards
from services.boards.commands import update_board


@dataclass(frozen=True)
class GroupBoardChanges:
    """Locked boards that are to join or to leave a group."""

    joining: Sequence[Board]
    leaving: Sequence[Board]


async def lock_group_boards(
    session: AsyncSession,
    member: Member,
    *,
    joining: Collection[UUID] = (),
    leaving: Collection[UUID] = (),
) -> GroupBoardChanges:
    """Lock the boards that are to join or to leave a group. Lock the group afterwards.

    A board that is to leave and was deleted meanwhile is ignored. Raises Invalid if the member may
    not change one of the others; its detail `boards` has the error of each.
    """
    found = await lock_boards(session, member.user, {*joining, *leaving})
    found = {id: _check_organization(board, member) for id, board in found.items()}
    missing = dict.fromkeys(set(joining) - found.keys(), _board_not_found())
    errors = missing | {id: one for id, one in found.items() if isinstance(one, AppError)}
    if errors:
        reason = N_("Some boards cannot be changed.")
        raise Invalid("boards_not_changed", reason, field="board_ids", boards=errors)
    locked = {id: one for id, one in found.items() if isinstance(one, Board)}
    return GroupBoardChanges(_list_in_order(locked, joining), _list_in_order(locked, leaving))


async def change_group_boards(
    session: AsyncSession, user: User, group: BoardGroup, changes: GroupBoardChanges
) -> None:
    """Let locked boards join or leave a locked group, and notify the agents of its boards.

    A board that is no longer in this group does not leave the one where it is now. Raises
    Forbidden unless the user is an admin.
    """
    for board in changes.leaving:
        if board.board_group_id == group.id:
            await update_board(session, user, board, {"board_group_id": None})
    for board in changes.joining:
        await update_board(session, user, board, {"board_group_id": group.id})


def _list_in_order(locked: Mapping[UUID, Board], ids: Collection[UUID]) -> list[Board]:
    """Return those of the locked boards that have these ids, by id."""
    return [locked[id] for id in sorted(ids) if id in locked]


def _check_organization(board: Board | AppError, member: Member) -> Board | AppError:
    """Return the board, or an error if it belongs to another organization of the user."""
    if isinstance(board, Board) and board.organization_id != member.organization_id:
        return _board_not_found()
    return board


def _board_not_found() -> AppError:
    return NotFound("board_not_found", N_("There is no such board."))
