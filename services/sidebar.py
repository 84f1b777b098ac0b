"""The sidebar: load what every page shows beside its content, and change what a user has in it.

Its boards are those that the user has pinned, and up to MAX_RECENT others: those opened last, and
those on which something waits. So the statements cost the same with 3 and with 1,000 boards.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache, partial
from itertools import product
from operator import itemgetter
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Interval,
    ScalarSelect,
    Select,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import CombinedQuery, Query, Source, set_loaded_values
from core.errors import Invalid, NotFound
from core.text import N_
from models import (
    Agent,
    Board,
    BoardShortcut,
    Event,
    Gateway,
    Member,
    Organization,
    User,
    new_id,
)
from services import (
    agents,
    approvals,
    boards,
    gateway_status,
    notifications,
    organizations,
    presence,
    waiting_counts,
)
from services.waiting_counts import WaitingCounts

MAX_RECENT = 8  # boards in the sidebar beside the pinned ones
MAX_WAITING = 4  # of them that are there only because something waits on them
MAX_PINS = 50  # of a user in an organization
MAX_CHECKED = 24  # boards opened last whose comments may be unread
MAX_OPENED = 100  # boards of a user whose opening is kept
MAX_COUNTED_AGENTS = 200

ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
USER_ID = bindparam("user_id", type_=Uuid())
BOARD_IDS = bindparam("board_ids", type_=ARRAY(Uuid()))


class SidebarSection(StrEnum):
    """A section of the sidebar that can be collapsed."""

    PINNED = "pinned"
    RECENT = "recent"


class SidebarBoard(NamedTuple):
    """A board that the user may read, as the sidebar shows it."""

    id: UUID
    name: str
    is_paused: bool
    can_write: bool
    has_unread: bool  # unread comments of others


class OrganizationRef(NamedTuple):
    """An organization of the user."""

    id: UUID
    name: str


@dataclass(frozen=True)
class SidebarData:
    """What the sidebar shows. `last_seq` is the number of the organization's last event."""

    last_seq: int
    pinned: Sequence[SidebarBoard]  # in the order of the user
    recent: Sequence[SidebarBoard]
    last_opened_id: UUID | None
    board_count: int  # that the member may read
    other_unread_count: int  # of the boards opened last, those that are not shown but unread
    agent_count: int  # that their list shows; at most one more than MAX_COUNTED_AGENTS
    online_agent_count: int  # 0 if there are more
    has_first_approvals: bool  # the user has approved something that still needs another person
    organizations: Sequence[OrganizationRef]
    gateways: int  # of the organization
    gateways_down: int  # 0 for those who are not admins
    unread_count: int  # notifications
    waiting: WaitingCounts

    @property
    def boards(self) -> Sequence[SidebarBoard]:
        """The boards that are shown. That of the page is one of them, if the member may read it."""
        return (*self.pinned, *self.recent)

    @property
    def has_more_agents(self) -> bool:
        """Whether there are more agents than are counted."""
        return self.agent_count > MAX_COUNTED_AGENTS

    @property
    def other_waiting_count(self) -> int:
        """The number of items that wait for the member on boards that are not shown."""
        shown = {board.id for board in self.boards}
        return sum(count for id, count in self.waiting.by_board.items() if id not in shown)


def compile_statements() -> None:
    """Compile the statements of all members; call this in a thread.

    It takes too long for the first requests of a process.
    """
    for is_admin, of_all in product((True, False), repeat=2):
        _build_query(is_admin=is_admin, of_all=of_all).compile()


async def load_sidebar(
    source: Source,
    member: Member,
    *,
    board_id: UUID | None = None,
    offline_after: timedelta = agents.OFFLINE_AFTER,
) -> SidebarData:
    """Load the sidebar of a member, for a page of a board or another one.

    Events after `last_seq` are not included. Runs one statement, another one if there are open
    onboardings, and one if something waits on boards that were not opened lately.
    """
    at, parameters = now(), _parameters(member)
    parameters["since"] = max(member.created_at, at - presence.MAX_UNREAD_AGE)
    query = _build_query(is_admin=member.is_admin, of_all=member.reads_all_boards)
    [totals], pinned, opened, others, current, last_opened, *counts = await query.fetch(
        source,
        board_id=board_id,
        agents_at=at,
        offline_after=offline_after,
        **parameters,
    )
    waiting = await waiting_counts.build_waiting_counts(source, counts)
    is_pinned = {board.id for board in pinned}
    candidates = [*(board for board in current if board.id not in is_pinned), *opened]
    waiting_ids = _choose_waiting(waiting.by_board, is_pinned, [one.id for one in candidates])
    if missing := waiting_ids - {board.id for board in candidates}:
        candidates += await BOARDS_BY_ID.fetch(source, board_ids=list(missing), **parameters)
    recent = _choose_recent([*candidates, *others], waiting_ids, board_id)
    shown = is_pinned | {board.id for board in recent}
    return SidebarData(
        last_seq=totals.last_seq or 0,
        pinned=pinned,
        recent=sorted(recent, key=partial(_order_recent, waiting.by_board)),
        last_opened_id=last_opened[0] if last_opened else None,
        board_count=totals.board_count,
        other_unread_count=sum(one.has_unread for one in opened if one.id not in shown),
        agent_count=totals.agent_count,
        online_agent_count=totals.online_agent_count,
        has_first_approvals=totals.has_first_approvals,
        organizations=[OrganizationRef(UUID(id), name) for id, name in totals.organizations],
        gateways=totals.gateways,
        gateways_down=totals.gateways_down,
        unread_count=totals.unread_count,
        waiting=waiting,
    )


async def list_pinned_ids(source: Source, member: Member) -> Sequence[UUID]:
    """Return the boards that a member has pinned, in the order of the member."""
    return await PINNED_IDS.fetch(source, **_parameters(member))


def _choose_waiting(
    waiting: Mapping[UUID, int], pinned: Collection[UUID], opened: Sequence[UUID]
) -> set[UUID]:
    """Return the boards that are in the sidebar because something waits on them.

    These are those opened last, however many, and a few others: first those that were opened not
    long before, then those with the most items.
    """
    order = {id: place for place, id in enumerate(dict.fromkeys(opened))}
    found = [id for id in waiting if id not in pinned]
    found.sort(key=lambda one: (order.get(one, len(order)), -waiting[one], one))
    on_time = [id for id in found if order.get(id, MAX_RECENT) < MAX_RECENT]
    return {*on_time, *found[len(on_time) : len(on_time) + MAX_WAITING]}


def _choose_recent(
    candidates: Sequence[SidebarBoard], waiting_ids: Collection[UUID], current_id: UUID | None
) -> list[SidebarBoard]:
    """Return at most MAX_RECENT boards: the current one, those that wait, and the first others."""
    by_id = {board.id: board for board in candidates}
    order = sorted(by_id, key=lambda one: (one != current_id, one not in waiting_ids))
    return [by_id[id] for id in order[:MAX_RECENT]]


def _order_recent(waiting: Mapping[UUID, int], board: SidebarBoard) -> tuple[Any, ...]:
    """Return the place of a recent board: those that wait are first.

    The others are by name, so that they do not move when one of them is opened.
    """
    return board.id not in waiting, board.name.casefold(), board.id


def _count(model: type[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(model).where(*conditions).scalar_subquery()


def _select_boards(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    visible = boards.MEMBER_BOARDS.subquery()
    return (
        select(
            Board.id,
            Board.name,
            Board.paused_at.is_not(None),
            visible.c.writes,
            presence.has_unread_comments(),
        )
        .join(visible, visible.c.id == Board.id)
        .where(visible.c.reads, *conditions)
    )


IS_OWN = and_(BoardShortcut.user_id == USER_ID, BoardShortcut.board_id == Board.id)
IS_PINNED = BoardShortcut.pin_position.is_not(None)
PINNED = (
    _select_boards(IS_PINNED)
    .join(BoardShortcut, IS_OWN)
    .order_by(BoardShortcut.pin_position, *boards.BY_NAME)
)
OPENED = (
    _select_boards(~IS_PINNED)
    .join(BoardShortcut, IS_OWN)
    .order_by(BoardShortcut.opened_at.desc(), Board.id)
    .limit(MAX_CHECKED)
)
LAST_OPENED = (
    select(BoardShortcut.board_id)
    .where(BoardShortcut.user_id == USER_ID, BoardShortcut.opened_at.is_not(None))
    .order_by(BoardShortcut.opened_at.desc())
    .limit(1)
)
BOARDS_BY_ID: Query[SidebarBoard] = Query(
    _select_boards(Board.id == func.any(BOARD_IDS)), SidebarBoard._make
)


def _select_others(*, of_all: bool) -> Select[*tuple[Any, ...]]:
    """Select the first boards by name that the user has neither pinned nor opened.

    They fill the places of recent boards, and are not read if there are enough of those.
    """
    opened = OPENED.with_only_columns(Board.id).limit(MAX_RECENT).subquery()
    is_room = select(func.count()).select_from(opened).scalar_subquery() < MAX_RECENT
    ids = boards.select_board_ids(of_all=of_all)
    is_known = select(BoardShortcut.id).where(IS_OWN).correlate(Board).exists()
    found = ids.where(is_room, ~is_known).order_by(*boards.BY_NAME).limit(MAX_RECENT).subquery()
    return _select_boards().join(found, found.c.id == Board.id).order_by(*boards.BY_NAME)


@cache
def _build_query(*, is_admin: bool, of_all: bool) -> CombinedQuery:
    current = _select_boards(Board.id == bindparam("board_id", type_=Uuid()))
    listed = (PINNED, OPENED, _select_others(of_all=of_all), current)
    return CombinedQuery(
        _build_totals_query(is_admin=is_admin, of_all=of_all),
        *(Query(query, SidebarBoard._make) for query in listed),
        Query(LAST_OPENED, itemgetter(0)),
        *waiting_counts.list_count_queries(is_admin=is_admin),
    )


class _Totals(NamedTuple):
    last_seq: int | None
    organizations: Sequence[tuple[str, str]]
    gateways: int
    gateways_down: int
    unread_count: int
    board_count: int
    agent_count: int
    online_agent_count: int
    has_first_approvals: bool


def _build_totals_query(*, is_admin: bool, of_all: bool) -> Query[_Totals]:
    own_gateways = Gateway.organization_id == ORGANIZATION_ID
    is_down = Gateway.checks.contains([{"state": gateway_status.CHECK_FAILED}])
    last_seq = select(func.max(Event.seq)).where(Event.organization_id == ORGANIZATION_ID)
    pair = func.jsonb_build_array(Organization.id, Organization.name)
    by_name = aggregate_order_by(pair, func.lower(Organization.name), Member.id)
    listed_pairs = func.coalesce(func.jsonb_agg(by_name), literal_column("'[]'::jsonb"))
    memberships = select(listed_pairs).select_from(Member).join(Member.organization)
    ids = boards.select_board_ids(of_all=of_all)
    readable = ids.subquery("readable")
    listed = [select(Agent.id).join(readable, readable.c.id == Agent.board_id)]
    if is_admin:
        is_of_gateway = Agent.gateway_id.in_(select(Gateway.id).where(own_gateways))
        listed.append(select(Agent.id).where(is_of_gateway, Agent.board_id.is_(None)))
    counted = union_all(*listed).limit(MAX_COUNTED_AGENTS + 1).subquery("counted")
    agent_count = select(func.count()).select_from(counted).scalar_subquery()
    is_online = agents.online_condition(
        bindparam("agents_at", type_=DateTime(timezone=True)),
        bindparam("offline_after", type_=Interval()),
    )
    online = union_all(*(one.where(is_online) for one in listed)).subquery("online")
    online_count = select(func.count()).select_from(online).scalar_subquery()
    query = select(
        last_seq.scalar_subquery(),
        memberships.where(Member.user_id == USER_ID).scalar_subquery(),
        _count(Gateway, own_gateways),
        _count(Gateway, own_gateways, is_down) if is_admin else literal(0),
        notifications.unread_count_query(with_inbox=False),
        select(func.count()).select_from(readable).scalar_subquery(),
        agent_count,
        case((agent_count <= MAX_COUNTED_AGENTS, online_count), else_=0),
        approvals.has_own_first_approvals(),
    )
    return Query(query, _Totals._make)


# What a user has in the sidebar


async def record_opening(session: AsyncSession, member: Member, board_id: UUID) -> None:
    """Record that a member has opened a page of a board that they may read.

    Nothing happens if the board is deleted meanwhile. The oldest openings are forgotten.
    """
    values = {"id": new_id(), "user_id": member.user_id, "board_id": board_id, "at": now()}
    await session.execute(_RECORD_OPENING, values)
    await session.execute(_FORGET_OPENINGS, {"user_id": member.user_id})


async def pin_boards(session: AsyncSession, member: Member, board_ids: Sequence[UUID]) -> None:
    """Pin boards to the sidebar, below those that are pinned already.

    Raises NotFound if the member may read none of them, and Invalid if there are too many.
    """
    await organizations.lock_user(session, member.user)
    found = await READABLE_IDS.fetch(session, board_ids=list(board_ids), **_parameters(member))
    if not found:
        raise _board_not_found()
    pinned = await list_pinned_ids(session, member)
    is_new = set(found) - set(pinned)
    order = [*pinned, *(id for id in dict.fromkeys(board_ids) if id in is_new)]
    if len(order) > MAX_PINS:
        reason = N_("You can pin at most %(max_count)s boards.")
        raise Invalid("too_many_pins", reason, max_count=MAX_PINS)
    await _store_order(session, member, order)


async def unpin_boards(session: AsyncSession, member: Member, board_ids: Sequence[UUID]) -> None:
    """Unpin boards, which are among the recent ones then. Those that are not pinned are ignored."""
    await organizations.lock_user(session, member.user)
    is_own = (BoardShortcut.user_id == member.user_id) & BoardShortcut.board_id.in_(board_ids)
    opened_at = func.coalesce(BoardShortcut.opened_at, now())
    statement = update(BoardShortcut).where(is_own, IS_PINNED)
    await session.execute(statement.values(pin_position=None, opened_at=opened_at))


async def move_pin(
    session: AsyncSession, member: Member, board_id: UUID, to: Literal["up", "down", "end"] | UUID
) -> None:
    """Move a pinned board up or down by one place, to the end, or before another one.

    Raises NotFound if it is not pinned; if the other one is not, the place is the end.
    """
    await organizations.lock_user(session, member.user)
    order = [*await list_pinned_ids(session, member)]
    if board_id not in order:
        raise _board_not_found()
    if to == board_id:
        return
    at = order.index(board_id)
    order.remove(board_id)
    if isinstance(to, UUID):
        place = order.index(to) if to in order else len(order)
    else:
        place = {"up": max(at - 1, 0), "down": at + 1, "end": len(order)}[to]
    order.insert(place, board_id)
    await _store_order(session, member, order)


async def collapse_section(
    session: AsyncSession, user: User, section: SidebarSection, *, is_collapsed: bool
) -> None:
    """Collapse or expand a section of the sidebar of a user."""
    values = {f"{section}_boards_collapsed": is_collapsed}
    await session.execute(update(User).where(User.id == user.id).values(values))
    set_loaded_values(user, **values)  # for what is shown in the same request


READABLE_IDS: Query[UUID] = Query(
    boards.READABLE_BOARD_IDS.where(
        boards.READABLE_BOARD_IDS.selected_columns[0] == func.any(BOARD_IDS)
    ),
    itemgetter(0),
)
PINNED_IDS: Query[UUID] = Query(PINNED.with_only_columns(Board.id), itemgetter(0))

_RECORD_OPENING = text("""
    insert into board_shortcuts (id, user_id, board_id, opened_at)
    select :id, :user_id, board.id, :at from boards as board
    where board.id = :board_id for key share of board
    on conflict (user_id, board_id) do update set opened_at = excluded.opened_at
""")
_FORGET_OPENINGS = text(f"""
    delete from board_shortcuts where id in (
        select id from board_shortcuts where user_id = :user_id and pin_position is null
        order by opened_at desc offset {MAX_OPENED}
    )
""")  # noqa: S608 - the inserted number is a constant
_STORE_ORDER = text("""
    insert into board_shortcuts (id, user_id, board_id, pin_position)
    select pin.id, :user_id, board.id, pin.place
    from unnest(:ids, :board_ids) with ordinality as pin (id, board_id, place)
    join boards as board on board.id = pin.board_id
    order by board.id for key share of board
    on conflict (user_id, board_id) do update set pin_position = excluded.pin_position
""").bindparams(*(bindparam(name, type_=ARRAY(Uuid())) for name in ("ids", "board_ids")))
"""Boards that are being deleted are left out."""


def _parameters(member: Member) -> dict[str, Any]:
    return {"user_id": member.user_id, "organization_id": member.organization_id}


async def _store_order(session: AsyncSession, member: Member, board_ids: Sequence[UUID]) -> None:
    values = {"ids": [new_id() for _ in board_ids], "board_ids": list(board_ids)}
    await session.execute(_STORE_ORDER, {**values, "user_id": member.user_id})


def _board_not_found() -> NotFound:
    return NotFound("board_not_found", N_("There is no such board."))
