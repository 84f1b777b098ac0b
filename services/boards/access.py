"""Who may read and change which board. Every way to a board and what is on it starts here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, NotFound, Refusal, Unauthorized
from models import Actor, Agent, Board, BoardAccess, Member, Role, User


@dataclass(frozen=True)
class Access:
    """A board, and what the actor may do on it."""

    board: Board
    can_read: bool
    can_write: bool
    is_admin: bool


def seen_by(actor: Actor) -> Select[Board, bool, bool, bool]:
    """Select the boards of the actor's organizations, with: may read, may change, is admin.

    An agent of a board may do everything on its own board and nothing on another. An agent
    without a board looks after a gateway, and the boards that this gateway serves.
    """
    if isinstance(actor, Agent):
        own = _of_agent(actor)
        return select(Board, own.label("reads"), own.label("writes"), literal(False)).where(
            Board.organization_id == actor.organization_id
        )
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
        .where(Member.user_id == actor.id)
    )


def readable(actor: Actor, organization_id: UUID) -> Select[UUID]:
    """Select the ids of the boards that the actor reads in an organization."""
    seen = seen_by(actor).where(Board.organization_id == organization_id).subquery()
    return select(seen.c.id).where(seen.c.reads)


def writable(actor: Actor) -> Select[UUID]:
    """Select the ids of all boards that the actor may change."""
    seen = seen_by(actor).subquery()
    return select(seen.c.id).where(seen.c.reads, seen.c.writes)


async def readable_ids(
    session: AsyncSession, actor: Actor, organization_id: UUID
) -> Sequence[UUID]:
    """Return the ids of the boards that the actor reads in an organization."""
    return (await session.scalars(readable(actor, organization_id))).all()


async def writable_ids(session: AsyncSession, actor: Actor) -> Sequence[UUID]:
    """Return the ids of all boards that the actor may change."""
    return (await session.scalars(writable(actor))).all()


async def access(session: AsyncSession, actor: Actor, board_id: UUID) -> Access:
    """Return a board and the actor's rights on it.

    Raises NotFound if it is of no organization of the actor's, Forbidden if it may not be read.
    """
    return await _one(session, seen_by(actor).where(Board.id == board_id))


async def get(session: AsyncSession, actor: Actor, board_id: UUID) -> Board:
    """Return a board that the actor may read. Raises NotFound or Forbidden."""
    return (await access(session, actor, board_id)).board


async def hold(session: AsyncSession, actor: Actor, board_id: UUID) -> Board:
    """Return a board that the actor may change, and that nobody else can hold until the commit.

    A board has one writer at a time, so what a rule has read is still true when it is acted upon.
    Raises NotFound or Forbidden, and Unauthorized to an agent that was deleted meanwhile.
    """
    return _as_writer(await _held(session, actor, board_id))


async def hold_several(
    session: AsyncSession, user: User, board_ids: Collection[UUID]
) -> dict[UUID, Board | Refusal]:
    """Hold those of these boards that a person may change, in order of id, in one statement.

    For a board that may not be changed there is the refusal; for one that is not seen, nothing.
    """
    query = _to_hold(user, Board.id.in_(board_ids)).order_by(Board.id)
    return {row[0].id: _to_change(row) for row in await session.execute(query)}


async def hold_as_admin(session: AsyncSession, actor: Actor, board_id: UUID) -> Board:
    """Hold a board for what only the organization's admins may do to it. Raises as `hold` does."""
    return _as_admin(await _held(session, actor, board_id))


async def hold_of_agent(session: AsyncSession, user: User, agent_id: UUID) -> Board | None:
    """Hold the board on which an agent works, for an admin. None if it works on none that is seen.

    Raises Forbidden.
    """
    its = select(Agent.board_id).where(Agent.id == agent_id).scalar_subquery()
    row = (await session.execute(_to_hold(user, Board.id == its))).one_or_none()
    return _as_admin(_seen(row)) if row is not None else None


async def _held(session: AsyncSession, actor: Actor, board_id: UUID) -> Access:
    held = await _one(session, _to_hold(actor, Board.id == board_id))
    if isinstance(actor, Agent):
        await _is_as_before(session, actor)
    return held


def _to_hold(actor: Actor, which: ColumnElement[bool]) -> Select[Board, bool, bool, bool]:
    query = seen_by(actor).where(which).with_for_update(key_share=True, of=Board)
    return query.execution_options(populate_existing=True)


def _to_change(row: Sequence[Any]) -> Board | Refusal:
    try:
        return _as_writer(_seen(row))
    except Refusal as refusal:
        return refusal


def _as_writer(held: Access) -> Board:
    if not held.can_write:
        raise Forbidden("board_write_forbidden", "You may read this board, not change it.")
    return held.board


def _as_admin(held: Access) -> Board:
    if not (held.can_write and held.is_admin):
        raise Forbidden("admin_required", "Only an admin who may change this board can do that.")
    return held.board


async def _is_as_before(session: AsyncSession, agent: Agent) -> None:
    """Refuse an agent that was moved or deleted while it waited for a board.

    Only columns are read: what the agent was when it called must not be overwritten before the
    two are compared.
    """
    query = select(Agent.board_id, Agent.gateway_id, Agent.is_board_lead)
    row = (await session.execute(query.where(Agent.id == agent.id))).one_or_none()
    if row is None:
        raise Unauthorized
    if tuple(row) != (agent.board_id, agent.gateway_id, agent.is_board_lead):
        raise Forbidden("agent_moved", "This agent was moved meanwhile.")


async def _one(session: AsyncSession, query: Select[Board, bool, bool, bool]) -> Access:
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound("board_not_found", "There is no such board.")
    return _seen(row)


def _seen(row: Sequence[Any]) -> Access:
    """Return what was found, for who may read it. Raises Forbidden."""
    found = Access(*row)
    if not found.can_read:
        raise Forbidden("board_read_forbidden", "You may not read this board.")
    return found


def _of_agent(agent: Agent) -> ColumnElement[bool]:
    if agent.board_id is not None:
        return Board.id == agent.board_id
    if agent.gateway_id is not None:
        return Board.gateway_id == agent.gateway_id
    return false()
