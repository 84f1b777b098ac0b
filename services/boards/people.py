"""The people of a board: the members of its organization who can read it."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, and_, bindparam, func, join, or_, select

from core.db.reads import AnySelect, Query, Source
from models import USER_NAME, Board, BoardAccess, Member, User


class BoardPerson(NamedTuple):
    """A person who can read a board."""

    id: UUID
    name: str
    can_write: bool
    email: str | None = None


CAN_WRITE = or_(Member.all_boards_write, BoardAccess.can_write.is_(True))
CAN_READ = or_(Member.all_boards_read, BoardAccess.can_read.is_(True), CAN_WRITE)


def _select_readers(on_board: ColumnElement[bool], *conditions: ColumnElement[bool]) -> AnySelect:
    """Select the members of an organization who can read one of the matching boards."""
    is_grant = and_(BoardAccess.organization_member_id == Member.id, on_board)
    tables = join(User, Member, Member.user_id == User.id).outerjoin(BoardAccess, is_grant)
    return (
        select(User.id, USER_NAME, func.bool_or(CAN_WRITE), User.email)
        .select_from(tables)
        .where(Member.organization_id == bindparam("organization_id", type_=Uuid()), CAN_READ)
        .where(*conditions)
        .group_by(User.id)
        .order_by(func.lower(USER_NAME), User.id)
    )


def build_readers_query(
    on_board: ColumnElement[bool], *conditions: ColumnElement[bool]
) -> Query[BoardPerson]:
    """Build the query of the members who can read one of the matching boards, by name."""
    return Query(_select_readers(on_board, *conditions), BoardPerson._make)


ON_BOARD = BoardAccess.board_id == bindparam("board_id", type_=Uuid())
BOARD_PEOPLE = build_readers_query(ON_BOARD)
BOARD_PERSON = build_readers_query(ON_BOARD, User.id == bindparam("user_id"))


async def list_board_people(source: Source, board: Board) -> Sequence[BoardPerson]:
    """Return the people who can read a board, by name."""
    return await BOARD_PEOPLE.fetch(
        source, board_id=board.id, organization_id=board.organization_id
    )


async def can_user_read(source: Source, board: Board, user_id: UUID) -> bool:
    """Say whether a person is a member of the organization who can read the board."""
    ids = {"board_id": board.id, "organization_id": board.organization_id, "user_id": user_id}
    return await BOARD_PERSON.first(source, **ids) is not None
