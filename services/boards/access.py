"""Permissions on boards. All access to a board and its contents goes through this module."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Uuid,
    and_,
    bindparam,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import AppError, Forbidden, NotFound, Unauthorized
from models import Actor, Agent, Board, BoardAccess, Event, EventType, Member, Role, User


@dataclass(frozen=True)
class BoardPermissions:
    """A board and the permissions of an actor on it."""

    board: Board
    can_read: bool
    can_write: bool
    is_admin: bool


MEMBER_EVENTS = (EventType.MEMBER_JOINED, EventType.MEMBER_UPDATED, EventType.MEMBER_REMOVED)
AGENT_EVENTS = (EventType.AGENT_UPDATED, EventType.AGENT_TOKEN_ISSUED, EventType.AGENT_DELETED)
BOARD_EVENTS = (EventType.BOARD_CREATED, EventType.BOARD_UPDATED, EventType.BOARD_DELETED)


def may_change_access(event: Event, actor: Actor) -> bool:
    """Return whether an event may have changed what an actor may read.

    A stream reads the rights again before it sends this event or a later one. Events have numbers
    in the order of the commits, so nothing is sent that happened after a right was removed.
    """
    if isinstance(actor, Agent):
        is_own = event.type in AGENT_EVENTS and event.agent_id == actor.id
        return is_own or (actor.board_id is None and event.type in BOARD_EVENTS)
    return event.type in MEMBER_EVENTS and event.data.get("user_id") == str(actor.id)


def visible_boards_query(actor: Actor) -> Select[Board, bool, bool, bool]:
    """Select the boards of the actor's organizations with the columns of `BoardPermissions`.

    A board agent has all permissions on its own board and none on others. A gateway agent has no
    board, and has all permissions on the boards of its gateway.
    """
    if isinstance(actor, Agent):
        return _agent_boards_query(_agent_condition(actor), actor.organization_id)
    return _user_boards_query(actor.id)


def _agent_boards_query(
    own: ColumnElement[bool], organization_id: Any
) -> Select[Board, bool, bool, bool]:
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


MEMBER_BOARDS = _user_boards_query(bindparam("user_id")).where(
    Board.organization_id == bindparam("organization_id")
)
"""Selects the boards of the organization `organization_id` like `visible_boards_query`, for the
member `user_id`. Statements that are built once use it."""


def readable_board_ids_query(actor: Actor, organization_id: UUID) -> Select[UUID]:
    """Select the ids of the boards that the actor may read in an organization."""
    visible = visible_boards_query(actor).where(Board.organization_id == organization_id)
    return _select_readable_ids(visible)


def _select_readable_ids(boards_query: Select[Board, bool, bool, bool]) -> Select[UUID]:
    visible = boards_query.subquery()
    return select(visible.c.id).where(visible.c.reads)


READABLE_BOARD_IDS = _select_readable_ids(MEMBER_BOARDS)
"""Selects the ids of those of MEMBER_BOARDS that the member may read."""


def writable_board_ids_query(actor: Actor) -> Select[UUID]:
    """Select the ids of all boards that the actor may change."""
    visible = visible_boards_query(actor).subquery()
    return select(visible.c.id).where(visible.c.reads, visible.c.writes)


async def list_readable_board_ids(
    session: AsyncSession, actor: Actor, organization_id: UUID
) -> Sequence[UUID]:
    """Return the ids of the boards that the actor may read in an organization."""
    return (await session.scalars(readable_board_ids_query(actor, organization_id))).all()


async def list_writable_board_ids(session: AsyncSession, actor: Actor) -> Sequence[UUID]:
    """Return the ids of all boards that the actor may change."""
    return (await session.scalars(writable_board_ids_query(actor))).all()


async def get_board_permissions(
    session: AsyncSession, actor: Actor, board_id: UUID
) -> BoardPermissions:
    """Return a board and the actor's permissions on it.

    Raises NotFound if it is not in an organization of the actor, Forbidden if it may not be read.
    """
    return await _fetch_permissions(session, actor, board_id, lock=False)


async def get_board(session: AsyncSession, actor: Actor, board_id: UUID) -> Board:
    """Return a board that the actor may read. Raises NotFound or Forbidden."""
    return (await get_board_permissions(session, actor, board_id)).board


async def lock_board(session: AsyncSession, actor: Actor, board_id: UUID) -> Board:
    """Return a board that the actor may change, locked until the commit.

    A board has one writer at a time, so the data that a rule was checked with cannot change before
    the commit. Raises NotFound or Forbidden, and Unauthorized for an agent that was deleted while
    it waited for the lock.
    """
    return _require_write(await _lock(session, actor, board_id))


async def lock_boards(
    session: AsyncSession, user: User, board_ids: Collection[UUID]
) -> dict[UUID, Board | AppError]:
    """Lock those of these boards that the user may change, ordered by id, in one statement.

    Returns the error for a board that may not be changed, and no entry for one that is not visible.
    """
    query = _locking_query(user, Board.id.in_(board_ids)).order_by(Board.id)
    return {row[0].id: _writable_or_error(row) for row in await session.execute(query)}


async def require_write_access(session: AsyncSession, user: User, board_id: UUID) -> None:
    """Read the rights of a user on a board again, for a decision on a locked board.

    A statement that has waited for a lock still sees the rights from before it waited. Raises
    NotFound or Forbidden.
    """
    _require_write(await get_board_permissions(session, user, board_id))


async def lock_board_as_admin(session: AsyncSession, actor: Actor, board_id: UUID) -> Board:
    """Lock a board for an action of admins only. Raises the errors of `lock_board`."""
    return _require_admin(await _lock(session, actor, board_id))


async def lock_board_of_agent(session: AsyncSession, user: User, agent_id: UUID) -> Board | None:
    """Lock the board of an agent for an admin; None if it has no board visible to the user.

    Raises Forbidden.
    """
    board_id = select(Agent.board_id).where(Agent.id == agent_id).scalar_subquery()
    row = (await session.execute(_locking_query(user, Board.id == board_id))).one_or_none()
    return _require_admin(_require_read(row)) if row is not None else None


async def _lock(session: AsyncSession, actor: Actor, board_id: UUID) -> BoardPermissions:
    permissions = await _fetch_permissions(session, actor, board_id, lock=True)
    if isinstance(actor, Agent):
        await _check_agent_unchanged(session, actor)
    return permissions


def _locking_query(actor: Actor, condition: ColumnElement[bool]) -> Select[Board, bool, bool, bool]:
    return _with_lock(visible_boards_query(actor).where(condition))


def _with_lock(query: Select[Board, bool, bool, bool]) -> Select[Board, bool, bool, bool]:
    query = query.with_for_update(key_share=True, of=Board)
    return query.execution_options(populate_existing=True)


def _writable_or_error(row: Sequence[Any]) -> Board | AppError:
    try:
        return _require_write(_require_read(row))
    except AppError as error:
        return error


def _require_write(permissions: BoardPermissions) -> Board:
    if not permissions.can_write:
        raise Forbidden("board_write_forbidden", "You may read this board, not change it.")
    return permissions.board


def _require_admin(permissions: BoardPermissions) -> Board:
    if not (permissions.can_write and permissions.is_admin):
        raise Forbidden("admin_required", "Only an admin who may change this board can do that.")
    return permissions.board


async def _check_agent_unchanged(session: AsyncSession, agent: Agent) -> None:
    """Raise Unauthorized or Forbidden if the agent was deleted or moved while it waited for a lock.

    Only columns are selected: loading the object would overwrite the values to compare with.
    """
    query = select(Agent.board_id, Agent.gateway_id, Agent.is_board_lead)
    row = (await session.execute(query.where(Agent.id == agent.id))).one_or_none()
    if row is None:
        raise Unauthorized
    if tuple(row) != (agent.board_id, agent.gateway_id, agent.is_board_lead):
        raise Forbidden("agent_moved", "This agent was moved meanwhile.")


async def _fetch_permissions(
    session: AsyncSession, actor: Actor, board_id: UUID, *, lock: bool
) -> BoardPermissions:
    parameters: dict[str, UUID | None] = {"board_id": board_id}
    if isinstance(actor, Agent):
        parameters["organization_id"] = actor.organization_id
        parameters["own_board_id"] = actor.board_id
        parameters["gateway_id"] = actor.gateway_id if actor.board_id is None else None
    else:
        parameters["user_id"] = actor.id
    query = _build_board_query(is_agent=isinstance(actor, Agent), lock=lock)
    row = (await session.execute(query, parameters)).one_or_none()
    if row is None:
        raise NotFound("board_not_found", "There is no such board.")
    return _require_read(row)


@cache
def _build_board_query(*, is_agent: bool, lock: bool) -> Select[Board, bool, bool, bool]:
    """Build the query for the permissions of a user or an agent on one board."""
    if is_agent:
        own_id, gateway_id = bindparam("own_board_id", type_=Uuid()), bindparam("gateway_id")
        own = func.coalesce((Board.id == own_id) | (Board.gateway_id == gateway_id), false())
        query = _agent_boards_query(own, bindparam("organization_id"))
    else:
        query = _user_boards_query(bindparam("user_id"))
    query = query.where(Board.id == bindparam("board_id"))
    return _with_lock(query) if lock else query


def _require_read(row: Sequence[Any]) -> BoardPermissions:
    """Build the permissions from a row. Raises Forbidden if the board may not be read."""
    permissions = BoardPermissions(*row)
    if not permissions.can_read:
        raise Forbidden("board_read_forbidden", "You may not read this board.")
    return permissions


def _agent_condition(agent: Agent) -> ColumnElement[bool]:
    if agent.board_id is not None:
        return Board.id == agent.board_id
    if agent.gateway_id is not None:
        return Board.gateway_id == agent.gateway_id
    return false()
