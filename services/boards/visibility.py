"""Select the boards of an actor, and the ids of those that it may read or change."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Uuid,
    and_,
    bindparam,
    false,
    literal,
    or_,
    select,
)

from core.db.reads import Query, Source
from models import Actor, Agent, Board, BoardAccess, Member, Role, User


def visible_boards_query(actor: Actor) -> Select[Board, bool, bool, bool]:
    """Select the boards of the actor's organizations with the columns of `BoardPermissions`.

    A board agent has all permissions on its own board and none on others. A gateway agent has no
    board, and has all permissions on the boards of its gateway.
    """
    if isinstance(actor, Agent):
        return select_agent_boards(_agent_condition(actor), actor.organization_id)
    return _user_boards_query(actor.id)


def select_agent_boards(
    own: ColumnElement[bool], organization_id: Any
) -> Select[Board, bool, bool, bool]:
    """Select the boards of an organization for an agent, which has all permissions on its own."""
    query = select(Board, own.label("reads"), own.label("writes"), literal(False))
    return query.where(Board.organization_id == organization_id)


def _user_boards_query(user_id: Any) -> Select[Board, bool, bool, bool]:
    writes = or_(Member.all_boards_write, BoardAccess.can_write.is_(True))
    reads = or_(Member.all_boards_read, BoardAccess.can_read.is_(True), writes)
    admin = Member.role.in_((Role.OWNER, Role.ADMIN))
    return (
        select(Board, reads.label("reads"), writes.label("writes"), admin.label("admin"))
        .join(Member, Member.organization_id == Board.organization_id)
        .outerjoin(
            BoardAccess,
            and_(BoardAccess.organization_member_id == Member.id, BoardAccess.board_id == Board.id),
        )
        .where(Member.user_id == user_id)
    )


USER_BOARDS = _user_boards_query(bindparam("user_id"))
"""Selects the same as `visible_boards_query` for the user `user_id`. Statements that are built
once use it."""

MEMBER_BOARDS = USER_BOARDS.where(Board.organization_id == bindparam("organization_id"))
"""Selects those of USER_BOARDS that are in the organization `organization_id`."""


def readable_board_ids_query(actor: Actor, organization_id: UUID) -> Select[UUID]:
    """Select the ids of the boards that the actor may read in an organization."""
    visible = visible_boards_query(actor).where(Board.organization_id == organization_id)
    return _select_readable_ids(visible)


def _select_readable_ids(boards_query: Select[Board, bool, bool, bool]) -> Select[UUID]:
    visible = boards_query.subquery()
    return select(visible.c.id).where(visible.c.reads)


READABLE_BOARD_IDS = _select_readable_ids(MEMBER_BOARDS)
"""Selects the ids of those of MEMBER_BOARDS that the member may read."""

AGENT_BOARD_IDS = select(Board.id).where(
    Board.organization_id == bindparam("organization_id"),
    or_(
        Board.id == bindparam("own_board_id", type_=Uuid()),
        Board.gateway_id == bindparam("gateway_id", type_=Uuid()),
    ),
)
"""Selects the ids of the boards of the agent that `access_parameters` describes."""


def access_parameters(actor: Actor | Member) -> dict[str, UUID | None]:
    """Return the parameters of the statements that select the boards of an actor."""
    if isinstance(actor, Agent):
        return {
            "organization_id": actor.organization_id,
            "own_board_id": actor.board_id,
            "gateway_id": actor.gateway_id if actor.board_id is None else None,
        }
    if isinstance(actor, Member):
        return {"user_id": actor.user_id, "organization_id": actor.organization_id}
    return {"user_id": actor.id}


READABLE_IDS: Query[UUID] = Query(READABLE_BOARD_IDS, itemgetter(0))
OWN_IDS: Query[UUID] = Query(AGENT_BOARD_IDS, itemgetter(0))


def _select_writable_ids(boards_query: Select[Board, bool, bool, bool]) -> Select[UUID]:
    visible = boards_query.subquery()
    return select(visible.c.id).where(visible.c.reads, visible.c.writes)


WRITABLE_BOARD_IDS = _select_writable_ids(USER_BOARDS)
"""Selects the ids of those of USER_BOARDS that the user may change."""

WRITABLE_IDS: Query[UUID] = Query(WRITABLE_BOARD_IDS, itemgetter(0))


async def list_readable_board_ids(
    source: Source, actor: Actor, organization_id: UUID
) -> Sequence[UUID]:
    """Return the ids of the boards that the actor may read in an organization."""
    query = OWN_IDS if isinstance(actor, Agent) else READABLE_IDS
    parameters = access_parameters(actor) | {"organization_id": organization_id}
    return await query.fetch(source, **parameters)


async def list_writable_board_ids(source: Source, user: User) -> Sequence[UUID]:
    """Return the ids of all boards that the user may change."""
    return await WRITABLE_IDS.fetch(source, user_id=user.id)


def _agent_condition(agent: Agent) -> ColumnElement[bool]:
    if agent.board_id is not None:
        return Board.id == agent.board_id
    if agent.gateway_id is not None:
        return Board.gateway_id == agent.gateway_id
    return false()
