"""Rights on boards: on all of them, or on single ones, for members and for whoever is invited."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Select, Uuid, column, func, insert, literal, or_, select, values
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Invalid
from models import Board, BoardAccess, Invite, InviteBoardAccess, Member, new_id


@dataclass(frozen=True)
class Grant:
    """What somebody may do on one board."""

    board_id: UUID
    can_read: bool = True
    can_write: bool = False


@dataclass(frozen=True)
class Rights:
    """What somebody may do: on all boards, or else on single ones."""

    all_boards_read: bool = False
    all_boards_write: bool = False
    boards: Sequence[Grant] = ()

    @property
    def of_all(self) -> bool:
        """Whether they are of all boards, so that single ones say nothing more."""
        return self.all_boards_read or self.all_boards_write


FRESH = {"populate_existing": True}
ROW = ("id", "board_id", "can_read", "can_write", "created_at", "updated_at")


def check_each_once(boards: Collection[Grant]) -> None:
    """Raise Invalid if a board is named twice: the two may not say the same (contract, C15)."""
    if len({grant.board_id for grant in boards}) < len(boards):
        reason = "Name each board once."
        raise Invalid("board_named_twice", reason, field="board_access")


async def give(session: AsyncSession, to: Member | Invite, rights: Rights) -> Sequence[Any]:
    """Give rights to a member or an invitation that has none on single boards, and return these.

    Of whoever may see all boards, no rights on single ones are kept. Raises Invalid when a board
    is named twice, or is not one of the organization's.
    """
    check_each_once(rights.boards)
    to.all_boards_read, to.all_boards_write = rights.all_boards_read, rights.all_boards_write
    await session.flush()
    if not rights.boards:
        return []
    there = _on_our_boards(to.organization_id, rights.boards)
    if rights.of_all:
        _check_all_found(rights.boards, {row.board_id for row in await session.execute(there)})
        return []
    table, owner = _table_of(to)
    rows = there.add_columns(literal(to.id, Uuid()))
    written = insert(table).from_select([*ROW, owner], rows).returning(table)
    given = _in_order(await session.scalars(written))
    _check_all_found(rights.boards, {row.board_id for row in given})
    return given


async def merge(session: AsyncSession, invite: Invite, member: Member) -> Sequence[BoardAccess]:
    """Add the rights of an invitation on single boards to a member's, and return these boards'.

    Who may change a board may read it. Boards that are being deleted are waited for, and left out.
    """
    at = now()
    row = InviteBoardAccess
    offered = (
        select(
            func.gen_random_uuid(),
            literal(member.id, Uuid()),
            row.board_id,
            or_(row.can_read, row.can_write),
            row.can_write,
            literal(at),
            literal(at),
        )
        .join(Board, Board.id == row.board_id)
        .where(row.organization_invite_id == invite.id)
        .with_for_update(read=True, key_share=True, of=Board)
    )
    names = ["id", "organization_member_id", *ROW[1:]]
    added = upsert(BoardAccess).from_select(names, offered)
    merged = added.on_conflict_do_update(
        index_elements=["organization_member_id", "board_id"],
        set_={
            "can_read": or_(BoardAccess.can_read, added.excluded.can_read),
            "can_write": or_(BoardAccess.can_write, added.excluded.can_write),
            "updated_at": at,
        },
    )
    return _in_order(await session.scalars(merged.returning(BoardAccess), execution_options=FRESH))


def _on_our_boards(organization_id: UUID, boards: Sequence[Grant]) -> Select[*tuple[Any, ...]]:
    """Select the rows to be, of the boards that there are, which nobody deletes meanwhile."""
    wanted = values(
        column("id", Uuid()),
        column("board_id", Uuid()),
        column("can_read", Boolean()),
        column("can_write", Boolean()),
        name="wanted",
    ).data([(new_id(), one.board_id, one.can_read, one.can_write) for one in boards])
    at = literal(now())
    return (
        select(*wanted.c, at.label("created_at"), at.label("updated_at"))
        .join(Board, Board.id == wanted.c.board_id)
        .where(Board.organization_id == organization_id)
        .with_for_update(read=True, key_share=True, of=Board)
    )


def _in_order(rows: Iterable[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: (row.created_at, row.id))


def _check_all_found(boards: Sequence[Grant], found: Collection[UUID]) -> None:
    missing = sorted(str(one.board_id) for one in boards if one.board_id not in found)
    if missing:
        reason = "There are no such boards in this organization."
        details = {"field": "board_access", "invalid_board_ids": missing}
        raise Invalid("invalid_board_ids", reason, **details)


def _table_of(to: Member | Invite) -> tuple[type[BoardAccess] | type[InviteBoardAccess], str]:
    if isinstance(to, Member):
        return BoardAccess, "organization_member_id"
    return InviteBoardAccess, "organization_invite_id"
