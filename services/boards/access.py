"""Permissions on boards. All access to a board and its contents goes through this module."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Uuid,
    and_,
    bindparam,
    false,
    func,
    join,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import AppError, Forbidden, NotFound, Unauthorized
from core.text import N_
from models import (
    USER_NAME,
    Actor,
    Agent,
    Board,
    BoardAccess,
    Event,
    EventType,
    Member,
    Role,
    User,
)
from services import desired_state, organizations

CAN_WRITE = or_(Member.all_boards_write, BoardAccess.can_write.is_(True))
CAN_READ = or_(Member.all_boards_read, BoardAccess.can_read.is_(True), CAN_WRITE)


def visible_boards_query(actor: Actor) -> Select[Board, bool, bool, bool]:
    """Select the boards of the actor's organizations with the columns of `BoardPermissions`.

    A board agent has all permissions on its own board and none on others. A gateway agent has no
    board, and has all permissions on the boards of its gateway.
    """
    if not isinstance(actor, Agent):
        return _user_boards_query(actor.id)
    own: ColumnElement[bool] = false()
    if actor.board_id is not None:
        own = Board.id == actor.board_id
    elif actor.gateway_id is not None:
        own = Board.gateway_id == actor.gateway_id
    return _select_agent_boards(own, actor.organization_id)


def _select_agent_boards(
    own: ColumnElement[bool], organization_id: Any
) -> Select[Board, bool, bool, bool]:
    """Select the boards of an organization for an agent, which has all permissions on its own."""
    query = select(Board, own.label("reads"), own.label("writes"), literal(False))
    return query.where(Board.organization_id == organization_id)


def _user_boards_query(user_id: Any) -> Select[Board, bool, bool, bool]:
    admin = Member.role.in_((Role.OWNER, Role.ADMIN))
    return (
        select(Board, CAN_READ.label("reads"), CAN_WRITE.label("writes"), admin.label("admin"))
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


def select_board_ids(*, of_all: bool) -> Select[UUID]:
    """Select the same as READABLE_BOARD_IDS, for a statement that begins with the boards.

    `of_all` is `Member.reads_all_boards`: then the boards are those of the organization, which is
    checked once, else those that the member has rights on. So an index gives the first of them.
    """
    organization_id = bindparam("organization_id", type_=Uuid())
    is_own = and_(
        Member.user_id == bindparam("user_id", type_=Uuid()),
        Member.organization_id == organization_id,
    )
    if of_all:
        may_read = or_(Member.all_boards_read, Member.all_boards_write)
        is_allowed = select(Member.id).where(is_own, may_read).exists()
        return select(Board.id).where(Board.organization_id == organization_id, is_allowed)
    is_granted = or_(BoardAccess.can_read, BoardAccess.can_write)
    granted = select(Board.id).join(BoardAccess, BoardAccess.board_id == Board.id)
    return granted.join(BoardAccess.member).where(is_own, is_granted)


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


_visible = USER_BOARDS.subquery()
WRITABLE_BOARD_IDS = select(_visible.c.id).where(_visible.c.reads, _visible.c.writes)
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


class BoardLock(Enum):
    """The row locks of a board; both let nobody else change it."""

    CHANGE = "change"
    DELETION = "deletion"  # also waits until nobody keeps the board


def _with_lock(
    query: Select[Board, bool, bool, bool], lock: BoardLock = BoardLock.CHANGE
) -> Select[Board, bool, bool, bool]:
    query = query.with_for_update(key_share=lock is BoardLock.CHANGE, of=Board)
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
    return await _fetch_permissions(source, actor, board_id, lock=None)


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
    found: dict[UUID, Board | AppError] = {}
    rows = await LOCKED_BOARDS.fetch(session, board_ids=list(board_ids), **access_parameters(user))
    for row in rows:
        try:
            found[row[0].id] = _require_write(_require_read(row))
        except AppError as error:
            found[row[0].id] = error
    return found


async def require_write_access(session: AsyncSession, user: User, board_id: UUID) -> None:
    """Read the rights of a user on a board again, for a decision on a locked board.

    A statement that has waited for a lock still sees the rights from before it waited. Raises
    NotFound or Forbidden.
    """
    _require_write(await get_board_permissions(session, user, board_id))


async def lock_board_as_admin(
    session: AsyncSession, actor: Actor | Member, board_id: UUID, *, to_delete: bool = False
) -> Board:
    """Lock a board for an action of admins only. Raises the errors of `lock_board`.

    With `to_delete` it also waits for those who keep the board: see `block_agent_deletion`. A
    deletion that waited for them later would have locked agents that they need.
    """
    lock = BoardLock.DELETION if to_delete else BoardLock.CHANGE
    return _require_admin(await _lock(session, actor, board_id, lock))


async def lock_board_of_agent(session: AsyncSession, user: User, agent_id: UUID) -> Board | None:
    """Lock the board of an agent for an admin; None if it has no board visible to the user.

    Raises Forbidden.
    """
    row = await LOCKED_BOARD_OF_AGENT.first(session, agent_id=agent_id, **access_parameters(user))
    return _require_admin(_require_read(row)) if row is not None else None


def select_kept_agent(agent_id: Any) -> Select[UUID]:
    """Select an agent that is kept with its board: see `block_agent_deletion`."""
    agent = select(Agent.id).where(
        Agent.id == agent_id, organizations.build_keeping_condition(agent_id)
    )
    return agent.with_for_update(read=True, key_share=True)


async def block_agent_deletion(session: AsyncSession, agent_id: UUID) -> bool:
    """Let deletions of an agent and its board wait until the transaction ends.

    Others may change both. Call it before rows that are deleted with them are locked: a row that
    refers to a board keeps it too, but only then. A deletion that has begun meanwhile waits for the
    earlier rows, and the row for the deletion. Do not lock the board afterwards: a deletion of the
    agent has locked it, and waits. Returns False if the agent is deleted.
    """
    return await KEPT_AGENT.first(session, agent_id=agent_id) is not None


KEPT_AGENT: Query[tuple[UUID]] = Query(select_kept_agent(bindparam("agent_id", type_=Uuid())))


async def block_board_deletions(
    session: AsyncSession, board_ids: Collection[UUID | None]
) -> Sequence[UUID]:
    """Keep boards as `block_agent_deletion` does; return those that are not being deleted."""
    return await KEPT_BOARDS.fetch(session, board_ids=[*{*board_ids} - {None}])


KEPT_BOARDS: Query[UUID] = Query(
    select(Board.id)
    .where(Board.id == func.any(bindparam("board_ids", type_=ARRAY(Uuid()))))
    .order_by(Board.id)
    .with_for_update(read=True, key_share=True, skip_locked=True),
    itemgetter(0),
)

AGENT_PLACE: Query[tuple[UUID | None, UUID | None, bool]] = Query(
    select(Agent.board_id, Agent.gateway_id, Agent.is_board_lead).where(
        Agent.id == bindparam("agent_id"), desired_state.IS_NOT_BEING_REMOVED
    )
)


async def _lock(
    session: AsyncSession,
    actor: Actor | Member,
    board_id: UUID,
    lock: BoardLock = BoardLock.CHANGE,
) -> BoardPermissions:
    """Lock a board, and check that an agent was not deleted or moved while it waited for the lock.

    One that its gateway still has to remove counts as deleted: its tasks have returned to the
    inbox. Of the agent only columns are selected: loading the object would overwrite the values to
    compare with.
    """
    permissions = await _fetch_permissions(session, actor, board_id, lock=lock)
    if isinstance(actor, Agent):
        row = await AGENT_PLACE.first(session, agent_id=actor.id)
        if row is None:
            raise Unauthorized
        if row != (actor.board_id, actor.gateway_id, actor.is_board_lead):
            raise Forbidden("agent_moved", N_("This agent was moved meanwhile."))
    return permissions


def _require_write(permissions: BoardPermissions) -> Board:
    if not permissions.can_write:
        raise Forbidden("board_write_forbidden", N_("You can read this board but not change it."))
    return permissions.board


def _require_admin(permissions: BoardPermissions) -> Board:
    if not (permissions.can_write and permissions.is_admin):
        reason = N_("Only an admin who may change this board can do that.")
        raise Forbidden("admin_required", reason)
    return permissions.board


async def _fetch_permissions(
    source: Source, actor: Actor | Member, board_id: UUID, *, lock: BoardLock | None
) -> BoardPermissions:
    kind = next(one for one in (Agent, Member, User) if isinstance(actor, one))
    query = _build_board_query(kind, lock=lock)
    row = await query.first(source, board_id=board_id, **access_parameters(actor))
    if row is None:
        raise NotFound("board_not_found", N_("There is no such board."))
    return _require_read(row)


@cache
def _build_board_query(kind: type[Actor | Member], *, lock: BoardLock | None) -> BoardQuery:
    """Build the query for the permissions of a user, a member or an agent on one board."""
    if issubclass(kind, Agent):
        own_id = bindparam("own_board_id", type_=Uuid())
        gateway_id = bindparam("gateway_id", type_=Uuid())
        own = func.coalesce((Board.id == own_id) | (Board.gateway_id == gateway_id), false())
        query = _select_agent_boards(own, bindparam("organization_id"))
    else:
        query = MEMBER_BOARDS if issubclass(kind, Member) else USER_BOARDS
    query = query.where(Board.id == bindparam("board_id"))
    if lock is not None:
        query = _with_lock(query, lock)
    return Query(query)


def _require_read(row: Sequence[Any]) -> BoardPermissions:
    """Build the permissions from a row. Raises Forbidden if the board may not be read."""
    permissions = BoardPermissions(*row)
    if not permissions.can_read:
        raise Forbidden("board_read_forbidden", N_("You may not read this board."))
    return permissions


class BoardPerson(NamedTuple):
    """A person who can read a board."""

    id: UUID
    name: str
    can_write: bool
    email: str | None = None


def build_readers_query(
    on_board: ColumnElement[bool], *conditions: ColumnElement[bool]
) -> Query[BoardPerson]:
    """Build the query of the members who can read one of the matching boards, by name."""
    is_grant = and_(BoardAccess.organization_member_id == Member.id, on_board)
    tables = join(User, Member, Member.user_id == User.id).outerjoin(BoardAccess, is_grant)
    query = (
        select(User.id, USER_NAME, func.bool_or(CAN_WRITE), User.email)
        .select_from(tables)
        .where(Member.organization_id == bindparam("organization_id", type_=Uuid()), CAN_READ)
        .where(*conditions)
        .group_by(User.id)
        .order_by(func.lower(USER_NAME), User.id)
    )
    return Query(query, BoardPerson._make)


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
