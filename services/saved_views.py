"""Saved views of boards: of one user, or shared by all who can read the board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, and_, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import violates_constraint
from core.db.reads import Query, Source
from core.errors import Conflict, Invalid, NotFound
from core.validation import FieldCheck, nonblank_text, text_of_length, validate_fields
from models import Board, DefaultView, EventType, SavedView, User, new_id
from services import boards, events

MAX_VIEWS = 50  # on one board: of a user, and shared ones
MAX_VIEW_NAME_LENGTH = 100  # characters
MAX_QUERY_LENGTH = 4_000  # characters

FIELD_CHECKS: Mapping[str, FieldCheck] = {
    "name": nonblank_text(MAX_VIEW_NAME_LENGTH),
    "query": text_of_length(MAX_QUERY_LENGTH),
}


@dataclass(frozen=True, kw_only=True)
class SavedViewDraft:
    """The fields of a new view."""

    name: str
    query: str
    is_shared: bool = False


class ListedView(NamedTuple):
    """A view that a user can choose on a board."""

    id: UUID
    name: str
    query: str
    version: int
    is_shared: bool
    is_default: bool  # of this user


BOARD_ID = bindparam("board_id", type_=Uuid())
USER_ID = bindparam("user_id", type_=Uuid())
IS_VISIBLE = and_(
    SavedView.board_id == BOARD_ID,
    or_(SavedView.user_id.is_(None), SavedView.user_id == USER_ID),
)

BOARD_VIEWS: Query[ListedView] = Query(
    select(
        *(SavedView.id, SavedView.name, SavedView.query, SavedView.version),
        SavedView.user_id.is_(None),
        DefaultView.id.is_not(None),
    )
    .outerjoin(
        DefaultView, and_(DefaultView.view_id == SavedView.id, DefaultView.user_id == USER_ID)
    )
    .where(IS_VISIBLE)
    .order_by(SavedView.user_id.is_not(None), func.lower(SavedView.name), SavedView.id),
    ListedView._make,
)
"""The shared views of the board `board_id` by name, then those of the user `user_id`."""

VIEW_OWNER: Query[tuple[UUID | None]] = Query(
    select(SavedView.user_id).where(IS_VISIBLE, SavedView.id == bindparam("view_id"))
)
LOCKED_VIEW: Query[SavedView] = Query(
    select(SavedView)
    .where(IS_VISIBLE, SavedView.id == bindparam("view_id"))
    .with_for_update()
    .execution_options(populate_existing=True),
    lambda row: row[0],
)


async def list_saved_views(source: Source, user: User, board: Board) -> Sequence[ListedView]:
    """Return the views of a board that a user can choose, the shared ones first."""
    return await BOARD_VIEWS.fetch(source, board_id=board.id, user_id=user.id)


async def lock_saved_view(
    session: AsyncSession, user: User, board: Board, view_id: UUID
) -> SavedView:
    """Lock a view of a readable board that the user may change; a shared one with its board.

    Raises NotFound, and Forbidden for a shared view of a board that the user may not change.
    """
    parameters = {"board_id": board.id, "user_id": user.id, "view_id": view_id}
    owner = await VIEW_OWNER.first(session, **parameters)
    if owner == (None,):
        await boards.lock_board(session, user, board.id)
    view = await LOCKED_VIEW.first(session, **parameters)
    if view is None:
        raise _view_not_found()
    return view


async def create_saved_view(
    session: AsyncSession, user: User, board: Board, draft: SavedViewDraft
) -> SavedView:
    """Save a view of a readable board.

    Raises Forbidden for a shared view of a board that the user may not change, Invalid with the
    field, and Conflict if the name is taken.
    """
    if draft.is_shared:
        await boards.lock_board(session, user, board.id)
    else:
        await session.execute(
            select(User.id).where(User.id == user.id).with_for_update(key_share=True)
        )
    fields = validate_fields(FIELD_CHECKS, vars(draft))
    owner_id, at = None if draft.is_shared else user.id, now()
    await _check_view_count(session, board, owner_id)
    ids = {"id": new_id(), "board_id": board.id, "user_id": owner_id, "version": 1}
    view = SavedView(**ids, created_at=at, updated_at=at, **fields)
    session.add(view)
    await _flush_view(session)
    await _record_view_event(
        session, EventType.SAVED_VIEW_CREATED, user, board, view, query=view.query
    )
    return view


async def update_saved_view(
    session: AsyncSession, user: User, board: Board, view: SavedView, changes: Mapping[str, object]
) -> SavedView:
    """Rename a locked view, or replace its query.

    Nothing is recorded if nothing changes. Raises Invalid with the field, and Conflict if the name
    is taken.
    """
    given = validate_fields(FIELD_CHECKS, changes)
    new = {name: value for name, value in given.items() if value != getattr(view, name)}
    if not new:
        return view
    recorded = {name: [getattr(view, name), value] for name, value in new.items()}
    for name, value in new.items():
        setattr(view, name, value)
    view.version += "query" in new
    view.updated_at = now()
    await _flush_view(session)
    await _record_view_event(
        session, EventType.SAVED_VIEW_UPDATED, user, board, view, changes=recorded
    )
    return view


async def delete_saved_view(
    session: AsyncSession, user: User, board: Board, view: SavedView
) -> None:
    """Delete a locked view. It is then nobody's default any more."""
    await session.delete(view)
    await session.flush()
    await _record_view_event(session, EventType.SAVED_VIEW_DELETED, user, board, view)


async def set_default_view(
    session: AsyncSession, user: User, board: Board, view_id: UUID | None
) -> None:
    """Choose the view that the user sees first on a board; None shows all tasks.

    Raises NotFound.
    """
    if view_id is None:
        mine = (DefaultView.user_id == user.id) & (DefaultView.board_id == board.id)
        await session.execute(delete(DefaultView).where(mine))
        return
    visible = SavedView.user_id.is_(None) | (SavedView.user_id == user.id)
    query = select(SavedView.id).where(
        SavedView.id == view_id, SavedView.board_id == board.id, visible
    )
    if await session.scalar(query.with_for_update(read=True, key_share=True)) is None:
        raise _view_not_found()
    values = {"id": new_id(), "user_id": user.id, "board_id": board.id, "view_id": view_id}
    statement = insert(DefaultView).values(values)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["user_id", "board_id"], set_={"view_id": view_id}
        )
    )


def _view_not_found() -> NotFound:
    return NotFound("saved_view_not_found", "There is no such view.")


async def _check_view_count(session: AsyncSession, board: Board, owner_id: UUID | None) -> None:
    """Raise Invalid if there are too many views; the caller holds the lock of their owner."""
    count = select(func.count()).select_from(SavedView)
    of_owner = (SavedView.board_id == board.id) & SavedView.user_id.is_not_distinct_from(owner_id)
    if (await session.scalar(count.where(of_owner)) or 0) >= MAX_VIEWS:
        reason = f"A board has at most {MAX_VIEWS} views of one person, and as many shared ones."
        cause = "shared" if owner_id is None else ""
        raise Invalid("too_many_saved_views", reason, cause=cause, max_count=MAX_VIEWS)


async def _flush_view(session: AsyncSession) -> None:
    """Flush the session; raise Conflict if the name is taken."""
    try:
        await session.flush()
    except IntegrityError as error:
        if not violates_constraint(error, "uq_saved_views_name"):
            raise
        raise Conflict(
            "saved_view_name_taken", "There is a view with this name.", field="name"
        ) from error


async def _record_view_event(
    session: AsyncSession, type: EventType, user: User, board: Board, view: SavedView, **data: Any
) -> None:
    """Record an event of a shared view. Nobody else sees the views of one user."""
    if view.user_id is not None:
        return
    event_data: dict[str, object] = {"view_id": str(view.id), "name": view.name, **data}
    await events.record_event(
        session, type, user, organization_id=board.organization_id, board=board, data=event_data
    )
