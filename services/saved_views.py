"""Saved views of boards: of one user, or shared by all who can read the board."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import StringConstraints
from sqlalchemy import Uuid, and_, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import Conflict, Invalid, NotFound
from core.fields import ONE_LINE, FieldKind, Fields, Label, Patch, build_line_constraints
from core.text import N_
from models import Board, DefaultView, EventType, SavedView, User, new_id
from services import boards, events, rows

MAX_VIEWS = 50  # on one board: of a user, and shared ones


class SavedViewCreate(Fields):
    """A new view: its name, and the query of the board's address."""

    name: Annotated[str, build_line_constraints(100), ONE_LINE, Label(N_("Name"), FieldKind.LINE)]
    query: Annotated[
        str, StringConstraints(max_length=4_000), Label(N_("Filters, order and columns"))
    ]


class SavedViewUpdate(SavedViewCreate, Patch):
    """Another name or another query of a view."""


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
        SavedView.id,
        SavedView.name,
        SavedView.query,
        SavedView.version,
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
    ids = {"board_id": board.id, "user_id": user.id, "view_id": view_id}
    owner = await VIEW_OWNER.first(session, **ids)
    if owner == (None,):
        await boards.lock_board(session, user, board.id)
    return await rows.get_one(session, LOCKED_VIEW, _view_not_found, **ids)


UNIQUE_ERRORS: rows.UniqueErrors = {
    "uq_saved_views_name": lambda: Conflict(
        "saved_view_name_taken", N_("There is a view with this name."), field="name"
    )
}


async def create_saved_view(
    session: AsyncSession,
    user: User,
    board: Board,
    fields: SavedViewCreate,
    *,
    is_shared: bool = False,
) -> SavedView:
    """Save a view of a readable board, of one user or shared.

    Raises Forbidden for a shared view of a board that the user may not change, Invalid if there are
    too many, and Conflict if the name is taken.
    """
    if is_shared:
        await boards.lock_board(session, user, board.id)
    else:
        await session.execute(
            select(User.id).where(User.id == user.id).with_for_update(key_share=True)
        )
    owner_id = None if is_shared else user.id
    await _check_view_count(session, board, owner_id)
    ids = {"board_id": board.id, "user_id": owner_id}
    view = rows.build_row(SavedView, **ids, version=1, **dict(fields))
    session.add(view)
    await rows.flush(session, UNIQUE_ERRORS)
    event = EventType.SAVED_VIEW_CREATED
    await _record_event(session, event, user, board, view, query=view.query)
    return view


async def update_saved_view(
    session: AsyncSession, user: User, board: Board, view: SavedView, fields: SavedViewUpdate
) -> None:
    """Rename a locked view, or replace its query.

    Nothing is recorded if nothing changes. Raises Invalid without a field, and Conflict if the name
    is taken.
    """
    values = fields.changes()
    view.version += values.get("query", view.query) != view.query
    if differences := await rows.update_row(session, view, values, UNIQUE_ERRORS):
        event = EventType.SAVED_VIEW_UPDATED
        await _record_event(session, event, user, board, view, changes=differences)


async def delete_saved_view(
    session: AsyncSession, user: User, board: Board, view: SavedView
) -> None:
    """Delete a locked view. It is then nobody's default any more."""
    await session.delete(view)
    await session.flush()
    await _record_event(session, EventType.SAVED_VIEW_DELETED, user, board, view)


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
    return NotFound("saved_view_not_found", N_("There is no such view."))


async def _check_view_count(session: AsyncSession, board: Board, owner_id: UUID | None) -> None:
    """Raise Invalid if there are too many views; the caller holds the lock of their owner."""
    count = select(func.count()).select_from(SavedView)
    of_owner = (SavedView.board_id == board.id) & SavedView.user_id.is_not_distinct_from(owner_id)
    if (await session.scalar(count.where(of_owner)) or 0) >= MAX_VIEWS:
        reason = N_("A board has at most %(max_count)s views of one person.")
        if owner_id is None:
            reason = N_("A board has at most %(max_count)s shared views.")
        raise Invalid("too_many_saved_views", reason, max_count=MAX_VIEWS)


async def _record_event(
    session: AsyncSession, type: EventType, user: User, board: Board, view: SavedView, **data: Any
) -> None:
    """Record an event of a shared view. Nobody else sees the views of one user."""
    if view.user_id is not None:
        return
    event_data: dict[str, object] = {"view_id": str(view.id), "name": view.name, **data}
    await events.record_event(
        session, type, user, organization_id=board.organization_id, board=board, data=event_data
    )
