"""Rights on boards, of members and of invitations: on all boards, or on single ones."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import Boolean, Select, Uuid, column, func, insert, literal, or_, select, values
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Invalid
from core.fields import Fields
from core.text import N_
from models import Board, BoardAccess, Invite, InviteBoardAccess, Member, new_id


class BoardGrant(Fields):
    """The rights on one board."""

    component = "OrganizationBoardAccessSpec"

    board_id: UUID
    can_read: bool = True
    can_write: bool = Field(
        default=False, description="The right to change a board includes the right to read it."
    )


class AccessRights(Fields):
    """All board rights of a member. Rights that are left out are removed."""

    component = "OrganizationMemberAccessUpdate"
    example = {"all_boards_read": True}

    all_boards_read: bool = False
    all_boards_write: bool = False
    board_access: list[BoardGrant] = Field(
        default=[],
        max_length=1_000,
        description="Rights on single boards. They apply only if both other fields are false.",
    )

    @property
    def covers_all_boards(self) -> bool:
        """Whether they cover all boards, so that grants for single boards have no effect."""
        return self.all_boards_read or self.all_boards_write


GRANT_COLUMNS = ("id", "board_id", "can_read", "can_write", "created_at", "updated_at")


async def grant_rights(
    session: AsyncSession, holder: Member | Invite, rights: AccessRights
) -> Sequence[Any]:
    """Set the rights of a member or an invitation without grants, and return the new grants.

    With rights on all boards, no grants on single boards are stored. Raises Invalid if a board is
    named twice, since the two grants may differ (C15), or does not belong to the
    organization.
    """
    boards = rights.board_access
    if len({grant.board_id for grant in boards}) < len(boards):
        reason = N_("Name each board once.")
        raise Invalid("board_repeated", reason, field="board_access")
    holder.all_boards_read = rights.all_boards_read
    holder.all_boards_write = rights.all_boards_write
    await session.flush()
    if not boards:
        return []
    query = _grant_rows_query(holder.organization_id, boards)
    if rights.covers_all_boards:
        _check_boards_exist(boards, {row.board_id for row in await session.execute(query)})
        return []
    table: type[BoardAccess] | type[InviteBoardAccess]
    table, owner = InviteBoardAccess, "organization_invite_id"
    if isinstance(holder, Member):
        table, owner = BoardAccess, "organization_member_id"
    rows = query.add_columns(literal(holder.id, Uuid()))
    statement = insert(table).from_select([*GRANT_COLUMNS, owner], rows).returning(table)
    grants = _sort_by_creation(await session.scalars(statement))
    _check_boards_exist(boards, {row.board_id for row in grants})
    return grants


async def merge_invite_rights(
    session: AsyncSession, invite: Invite, member: Member
) -> Sequence[BoardAccess]:
    """Merge the grants of an invitation into those of a member, and return the merged ones.

    The right to change a board includes reading it. Boards that are being deleted are waited for
    and then skipped.
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
    names = ["id", "organization_member_id", *GRANT_COLUMNS[1:]]
    added = upsert(BoardAccess).from_select(names, offered)
    merged = added.on_conflict_do_update(
        index_elements=["organization_member_id", "board_id"],
        set_={
            "can_read": or_(BoardAccess.can_read, added.excluded.can_read),
            "can_write": or_(BoardAccess.can_write, added.excluded.can_write),
            "updated_at": at,
        },
    )
    refresh = {"populate_existing": True}
    return _sort_by_creation(
        await session.scalars(merged.returning(BoardAccess), execution_options=refresh)
    )


def build_grant_changes(before: Sequence[Any], after: Sequence[Any]) -> dict[str, list[list[str]]]:
    """Return the boards with grants, and those that may be changed, before and after a change."""
    both = before, after
    return {
        "board_ids": [sorted(str(row.board_id) for row in rows) for rows in both],
        "writable_board_ids": [
            sorted(str(row.board_id) for row in rows if row.can_write) for rows in both
        ],
    }


def _grant_rows_query(
    organization_id: UUID, boards: Sequence[BoardGrant]
) -> Select[*tuple[Any, ...]]:
    """Select the rows to insert for those boards that exist, and lock these boards."""
    requested = values(
        column("id", Uuid()),
        column("board_id", Uuid()),
        column("can_read", Boolean()),
        column("can_write", Boolean()),
        name="requested",
    ).data([(new_id(), one.board_id, one.can_read, one.can_write) for one in boards])
    at = literal(now())
    return (
        select(*requested.c, at.label("created_at"), at.label("updated_at"))
        .join(Board, Board.id == requested.c.board_id)
        .where(Board.organization_id == organization_id)
        .with_for_update(read=True, key_share=True, of=Board)
    )


def _sort_by_creation(rows: Iterable[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: (row.created_at, row.id))


def _check_boards_exist(boards: Sequence[BoardGrant], found: Collection[UUID]) -> None:
    missing = sorted(str(one.board_id) for one in boards if one.board_id not in found)
    if missing:
        reason = N_("There are no such boards in this organization.")
        raise Invalid(
            "invalid_board_ids",
            reason,
            field="board_access",
            invalid_board_ids=missing,
            sent_as="object",
        )
