"""Permissions on boards. All access to a board and its contents goes through this module."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Select, Uuid, bindparam, false, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import AppError, Forbidden, NotFound, Unauthorized
from core.text import N_
from models import Actor, Agent, Board, Event, EventType, Member, User
from services.boards.visibility import (
    MEMBER_BOARDS,
    USER_BOARDS,
    access_parameters,
    select_agent_boards,
)


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


def _with_lock(query: Select[Board, bool, bool, bool]) -> Select[Board, bool, bool, bool]:
    query = query.with_for_update(key_share=True, of=Board)
    return query.execution_options(populate_existing=True)


BoardQuery: TypeAlias = Query[tuple[Board, bool, bool, bool]]

LOCKED_BOARDS: BoardQuery = Query(
    _with_lock(
        USER_BOARDS.where(
            Board.id == func.any(bindparam("board_ids", type_=ARRAY(Uuid())))
        ).order_by(Board.id)
    )
)
LOCKED_BOARD_OF_AGENT: BoardQuery = Query(
    _with_lock(
        USER_BOARDS.where(
            Board.id
            == select(Agent.board_id).where(Agent.id == bindparam("agent_id")).scalar_subquery()
        )
    )
)


async def get_board_permissions(
    source: Source, actor: Actor | Member, board_id: UUID
) -> BoardPermissions:
    """Return a board and the actor's permissions on it.

    A member finds the boards of one organization, a user those of all own organizations. Raises
    NotFound if it is not one of them, Forbidden if it may not be read.
    """
    return await _fetch_permissions(source, actor, board_id, lock=False)


async def get_board(source: Source, actor: Actor | Member, board_id: UUID) -> Board:
    """Return a board that the actor may read. Raises NotFound or Forbidden."""
    return (await get_board_permissions(source, actor, board_id)).board


async def get_board_as_admin(source: Source, actor: Actor | Member, board_id: UUID) -> Board:
    """Return a board that the actor may change as an admin. Raises NotFound or Forbidden."""
    return _require_admin(await get_board_permissions(source, actor, board_id))


async def lock_board(session: AsyncSession, actor: Actor | Member, board_id: UUID) -> Board:
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
    rows = await LOCKED_BOARDS.fetch(session, board_ids=list(board_ids), **access_parameters(user))
    return {row[0].id: _writable_or_error(row) for row in rows}


async def require_write_access(session: AsyncSession, user: User, board_id: UUID) -> None:
    """Read the rights of a user on a board again, for a decision on a locked board.

    A statement that has waited for a lock still sees the rights from before it waited. Raises
    NotFound or Forbidden.
    """
    _require_write(await get_board_permissions(session, user, board_id))


async def lock_board_as_admin(
    session: AsyncSession, actor: Actor | Member, board_id: UUID
) -> Board:
    """Lock a board for an action of admins only. Raises the errors of `lock_board`."""
    return _require_admin(await _lock(session, actor, board_id))


async def lock_board_of_agent(session: AsyncSession, user: User, agent_id: UUID) -> Board | None:
    """Lock the board of an agent for an admin; None if it has no board visible to the user.

    Raises Forbidden.
    """
    row = await LOCKED_BOARD_OF_AGENT.first(session, agent_id=agent_id, **access_parameters(user))
    return _require_admin(_require_read(row)) if row is not None else None


async def _lock(session: AsyncSession, actor: Actor | Member, board_id: UUID) -> BoardPermissions:
    permissions = await _fetch_permissions(session, actor, board_id, lock=True)
    if isinstance(actor, Agent):
        await _check_agent_unchanged(session, actor)
    return permissions


def _writable_or_error(row: Sequence[Any]) -> Board | AppError:
    try:
        return _require_write(_require_read(row))
    except AppError as error:
        return error


def _require_write(permissions: BoardPermissions) -> Board:
    if not permissions.can_write:
        raise Forbidden("board_write_forbidden", N_("You may read this board, but not change it."))
    return permissions.board


def _require_admin(permissions: BoardPermissions) -> Board:
    if not (permissions.can_write and permissions.is_admin):
        reason = N_("Only an admin who may change this board can do that.")
        raise Forbidden("admin_required", reason, cause="board")
    return permissions.board


AGENT_PLACE: Query[tuple[UUID | None, UUID | None, bool]] = Query(
    select(Agent.board_id, Agent.gateway_id, Agent.is_board_lead).where(
        Agent.id == bindparam("agent_id")
    )
)


async def _check_agent_unchanged(session: AsyncSession, agent: Agent) -> None:
    """Raise Unauthorized or Forbidden if the agent was deleted or moved while it waited for a lock.

    Only columns are selected: loading the object would overwrite the values to compare with.
    """
    row = await AGENT_PLACE.first(session, agent_id=agent.id)
    if row is None:
        raise Unauthorized
    if row != (agent.board_id, agent.gateway_id, agent.is_board_lead):
        raise Forbidden("agent_moved", N_("This agent was moved meanwhile."))


async def _fetch_permissions(
    source: Source, actor: Actor | Member, board_id: UUID, *, lock: bool
) -> BoardPermissions:
    kind = next(one for one in (Agent, Member, User) if isinstance(actor, one))
    query = _build_board_query(kind, lock=lock)
    row = await query.first(source, board_id=board_id, **access_parameters(actor))
    if row is None:
        raise NotFound("board_not_found", N_("There is no such board."))
    return _require_read(row)


@cache
def _build_board_query(kind: type[Actor | Member], *, lock: bool) -> BoardQuery:
    """Build the query for the permissions of a user, a member or an agent on one board."""
    if issubclass(kind, Agent):
        own_id = bindparam("own_board_id", type_=Uuid())
        gateway_id = bindparam("gateway_id", type_=Uuid())
        own = func.coalesce((Board.id == own_id) | (Board.gateway_id == gateway_id), false())
        query = select_agent_boards(own, bindparam("organization_id"))
    else:
        query = MEMBER_BOARDS if issubclass(kind, Member) else USER_BOARDS
    query = query.where(Board.id == bindparam("board_id"))
    return Query(_with_lock(query) if lock else query)


def _require_read(row: Sequence[Any]) -> BoardPermissions:
    """Build the permissions from a row. Raises Forbidden if the board may not be read."""
    permissions = BoardPermissions(*row)
    if not permissions.can_read:
        raise Forbidden("board_read_forbidden", N_("You may not read this board."))
    return permissions
