"""Load what waits for a member, page by page, and what was decided today, in one statement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import (
    Boolean,
    DateTime,
    Float,
    Integer,
    Uuid,
    bindparam,
    case,
    func,
    literal,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from core.clock import now
from core.db.combined_query import CombinedQuery
from core.db.reads import Query, Source
from models import Approval, Member
from services import agents, approvals, boards, questions, waiting_counts
from services.agents import UncalledAgent
from services.approvals import ApprovalDetail, LimitedAgent
from services.gateways import requests
from services.gateways.requests import RequestDetail
from services.onboarding import PendingOnboarding
from services.questions import QuestionDetail
from services.waiting_counts import WaitingCounts

WaitingDetail: TypeAlias = ApprovalDetail | RequestDetail | PendingOnboarding | QuestionDetail

APPROVAL, REQUEST, QUESTION = "approval", "request", "question"
PAGE_QUERIES = 5  # of _list_page_queries


class WaitingKey(NamedTuple):
    """The place of an item: what waits for other people is last, and what waits longest first."""

    waits_for_others: bool  # the member may not decide it, or has approved it as the first of two
    requested_at: datetime
    id: UUID


FIRST_KEY = WaitingKey(False, datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True)
class WaitingFilter:
    """Which items are listed."""

    board_ids: Collection[UUID] | None = None  # None: all, also those without a board
    min_confidence: float = 0  # above 0, only approvals are listed

    def includes(self, board_id: UUID | None) -> bool:
        """Return whether items of a board are listed."""
        return self.board_ids is None or board_id in self.board_ids


@dataclass(frozen=True)
class WaitingPaging:
    """Which items are on a page: the first ones from `start` on, or the last ones before it.

    It is the first page if there are none. A page without the item `selected_id` that waits begins
    with that item instead.
    """

    limit: int
    start: WaitingKey = FIRST_KEY
    is_before: bool = False
    selected_id: UUID | None = None


PAGE_SIZE = 50  # items
FIRST_PAGE = WaitingPaging(PAGE_SIZE)


class WaitingItem(NamedTuple):
    """An item that waits for a member, or for other people."""

    key: WaitingKey
    detail: WaitingDetail


@dataclass(frozen=True)
class WaitingPage:
    """A page of items that wait, in the order of their keys."""

    items: Sequence[WaitingItem]
    offset: int  # items before the page
    total: int  # on all pages
    next_key: WaitingKey | None  # of the first item after the page


EMPTY_PAGE = WaitingPage([], 0, 0, None)


@dataclass(frozen=True)
class InboxSummary:
    """What the inbox shows beside its lists."""

    counts: WaitingCounts
    limited_agents: Sequence[LimitedAgent]  # whose further requests are held
    uncalled_agents: Sequence[UncalledAgent]  # for which tasks wait
    writable_board_ids: set[UUID]
    decided_total: int  # of all approvals


@dataclass(frozen=True)
class WaitingItems:
    """What waits for a member, and what was decided today, last decision first."""

    summary: InboxSummary
    page: WaitingPage
    decided_approvals: Sequence[ApprovalDetail]  # without their contents
    answered_requests: Sequence[RequestDetail]


async def load_waiting_items(
    source: Source,
    member: Member,
    paging: WaitingPaging = FIRST_PAGE,
    *,
    board_id: UUID | None = None,
    min_confidence: float = 0,
    offline_after: timedelta = agents.OFFLINE_AFTER,
) -> WaitingItems:
    """Load what waits for a member on the boards that they may read, or on one of them.

    Runs one statement, and a second one if there are open onboardings. Days begin at midnight in
    the member's time zone. Agents that have never called are overdue after `offline_after`, or two
    of their heartbeats.
    """
    listed = WaitingFilter([board_id] if board_id else None, min_confidence)
    found = await _build_query(is_admin=member.is_admin, by_board=board_id is not None).fetch(
        source,
        **_build_summary_parameters(member, board_id, offline_after),
        **_build_page_parameters(listed, paging),
        since=_find_midnight(member.user.timezone),
    )
    (decided_approvals, answered), found = found[:2], found[2:]
    page_rows, summary_rows = found[:PAGE_QUERIES], found[PAGE_QUERIES:]
    summary = await _build_summary(source, summary_rows, offline_after)
    page = _build_page(listed, paging, page_rows, summary.counts.onboardings)
    return WaitingItems(summary, page, decided_approvals, answered)


async def load_inbox_summary(
    source: Source,
    member: Member,
    *,
    board_id: UUID | None = None,
    offline_after: timedelta = agents.OFFLINE_AFTER,
) -> InboxSummary:
    """Load what the inbox shows beside its lists, as `load_waiting_items` does."""
    query = _build_summary_query(is_admin=member.is_admin, by_board=board_id is not None)
    parameters = _build_summary_parameters(member, board_id, offline_after)
    return await _build_summary(source, await query.fetch(source, **parameters), offline_after)


async def load_waiting_page(
    source: Source, member: Member, listed: WaitingFilter, limit: int
) -> tuple[WaitingPage, WaitingCounts]:
    """Load the items that wait longest, and the numbers of all items of the member."""
    query, paging = _build_page_query(is_admin=member.is_admin), WaitingPaging(limit)
    parameters = _build_member_parameters(member) | _build_page_parameters(listed, paging)
    found = await query.fetch(source, **parameters)
    counts = await waiting_counts.build_waiting_counts(source, found[PAGE_QUERIES:])
    return _build_page(listed, paging, found[:PAGE_QUERIES], counts.onboardings), counts


class NextItem(NamedTuple):
    """An item of the inbox that is shown after another one was decided."""

    id: UUID
    is_request: bool  # of a gateway


async def find_next_item(
    source: Source, member: Member, listed: WaitingFilter, requested_at: datetime, id: UUID
) -> NextItem | None:
    """Return the approval or gateway request after an item, or the first one if it is the last.

    Items that wait for other people are shown only if nothing else waits.
    """
    query = _build_next_query(is_admin=member.is_admin)
    paging = WaitingPaging(1, WaitingKey(False, requested_at, id))
    parameters = _build_member_parameters(member) | _build_page_parameters(listed, paging)
    return await query.first(source, **parameters)


def _build_member_parameters(member: Member) -> dict[str, object]:
    return {"user_id": member.user_id, "organization_id": member.organization_id}


def _build_summary_parameters(
    member: Member, board_id: UUID | None, offline_after: timedelta
) -> dict[str, object]:
    return _build_member_parameters(member) | {
        "board_id": board_id,
        "held_since": now() - approvals.PERIOD,
        "uncalled_since": now() - offline_after,
    }


def _build_page_parameters(listed: WaitingFilter, paging: WaitingPaging) -> dict[str, object]:
    return {
        "board_ids": None if listed.board_ids is None else list(listed.board_ids),
        "min_confidence": listed.min_confidence,
        "start_waits_for_others": paging.start.waits_for_others,
        "start_at": paging.start.requested_at,
        "start_id": paging.start.id,
        "rows_before": paging.limit if paging.is_before else 0,
        "selected_id": paging.selected_id,
        "page_limit": paging.limit,
    }


async def _build_summary(
    source: Source, found: Sequence[Sequence[Any]], offline_after: timedelta
) -> InboxSummary:
    limited, uncalled, writable, [decided_total], *counted = found
    return InboxSummary(
        await waiting_counts.build_waiting_counts(source, counted),
        limited,
        agents.list_missed_first_calls(uncalled, offline_after),
        set(writable),
        decided_total,
    )


def _build_page(
    listed: WaitingFilter,
    paging: WaitingPaging,
    found: Sequence[Sequence[Any]],
    pending: Sequence[PendingOnboarding],
) -> WaitingPage:
    """Merge the onboardings, which are few, into the rows of a page."""
    rows, [(row_count, asked_place)], waiting, asked, opened = found
    details: dict[UUID, WaitingDetail] = {one.approval.id: one for one in waiting}
    details |= {one.request.id: one for one in asked} | {one.question.id: one for one in opened}
    own = [
        WaitingItem(WaitingKey(False, one.since, one.id), one)
        for one in (() if listed.min_confidence else pending)
        if listed.includes(one.board.id)
    ]
    start, is_before = paging.start, paging.is_before
    has_asked_rows = 1 <= asked_place <= row_count
    has_own_after = not is_before and any(one.key >= start for one in own)
    if rows and rows[0].place != asked_place and rows[0].id == paging.selected_id:
        start, is_before = rows[0].key, False
    elif not has_asked_rows and not has_own_after:
        start, is_before = FIRST_KEY, False

    merged = [WaitingItem(row.key, details[row.id]) for row in rows] + own
    merged = [one for one in merged if (one.key < start) is is_before]
    merged.sort(key=lambda one: one.key)
    selected = next((row.key for row in rows if row.id == paging.selected_id), FIRST_KEY)
    size = max(paging.limit, sum(one.key <= selected for one in merged))
    items = merged[-paging.limit :] if is_before else merged[:size]
    next_key = start if is_before else next((one.key for one in merged[size:]), None)
    total = row_count + len(own)
    if not items:
        return replace(EMPTY_PAGE, total=total)
    first = items[0].key
    places = (row.place for row in rows if row.key >= first)
    offset = min(places, default=row_count + 1) - 1 + sum(one.key < first for one in own)
    return WaitingPage(items, offset, total, next_key)


class _Row(NamedTuple):
    id: UUID
    at: datetime
    waits_for_others: bool
    place: int  # among all rows, from 1

    @property
    def key(self) -> WaitingKey:
        return WaitingKey(self.waits_for_others, self.at, self.id)


def _select_listed(*, is_admin: bool) -> Any:
    """Select all rows of the inbox that a filter lists. They are few: nobody has decided them."""
    min_confidence = bindparam("min_confidence", type_=Float)
    found = approvals.undecided_rows_query().where(Approval.confidence >= min_confidence)
    is_unlimited = min_confidence == 0
    asked = requests.waiting_rows_query(is_admin=is_admin).where(is_unlimited)
    opened = questions.open_rows_query().where(is_unlimited)
    kinds = [(APPROVAL, found), (REQUEST, asked), (QUESTION, opened)]
    rows = union_all(*(query.add_columns(literal(kind).label("kind")) for kind, query in kinds))
    listed = rows.subquery("listed")
    board_ids = bindparam("board_ids", type_=ARRAY(Uuid()))
    return select(listed).where(board_ids.is_(None) | (listed.c.board_id == func.any(board_ids)))


def _list_page_queries(*, is_admin: bool) -> list[Query[Any]]:
    """Return the queries of a page, which `_build_page` reads. Of it, one row more is selected."""
    listed = _select_listed(is_admin=is_admin).subquery("waiting")
    key: tuple[Any, ...] = (listed.c.waits_for_others, listed.c.at, listed.c.id)
    place = func.row_number().over(order_by=key).label("place")
    placed = select(*listed.c, place).cte("placed")
    start = tuple_(
        bindparam("start_waits_for_others", type_=Boolean),
        bindparam("start_at", type_=DateTime(timezone=True)),
        bindparam("start_id", type_=Uuid),
    )
    is_earlier = tuple_(placed.c.waits_for_others, placed.c.at, placed.c.id) < start
    earlier = func.count().filter(is_earlier)
    asked_place = earlier + 1 - bindparam("rows_before", type_=Integer)
    totals = select(func.count().label("rows"), asked_place.label("asked_place"))
    counted = totals.select_from(placed).cte("counted")

    limit = bindparam("page_limit", type_=Integer)
    is_empty = ~counted.c.asked_place.between(1, counted.c.rows)
    asked_start = case((is_empty, 1), else_=counted.c.asked_place)
    is_selected = placed.c.id == bindparam("selected_id", type_=Uuid)
    is_elsewhere = ~placed.c.place.between(asked_start, asked_start + limit - 1)
    selected = select(placed.c.place).where(is_selected, is_elsewhere).correlate(counted)
    first = func.coalesce(selected.scalar_subquery(), asked_start)
    page = select(placed).join(counted, placed.c.place.between(first, first + limit))
    page_rows = page.cte("page")
    shown = select(*(page_rows.c[name] for name in _Row._fields)).order_by(page_rows.c.place)
    return [
        Query(shown, _Row._make),
        Query(select(counted), tuple),
        approvals.build_listed_query(page_rows),
        requests.build_listed_query(page_rows),
        questions.build_listed_query(page_rows),
    ]


@cache
def _build_page_query(*, is_admin: bool) -> CombinedQuery:
    return CombinedQuery(
        *_list_page_queries(is_admin=is_admin),
        *waiting_counts.list_count_queries(is_admin=is_admin),
    )


def _list_summary_queries(*, is_admin: bool, by_board: bool) -> list[Query[Any]]:
    return [
        approvals.build_limited_agents_query(),
        agents.build_uncalled_query(by_board=by_board),
        boards.WRITABLE_IDS,
        approvals.build_decided_count_query(by_board=by_board),
        *waiting_counts.list_count_queries(is_admin=is_admin),
    ]


@cache
def _build_summary_query(*, is_admin: bool, by_board: bool) -> CombinedQuery:
    return CombinedQuery(*_list_summary_queries(is_admin=is_admin, by_board=by_board))


@cache
def _build_query(*, is_admin: bool, by_board: bool) -> CombinedQuery:
    return CombinedQuery(
        approvals.build_decided_since_query(by_board=by_board),
        requests.build_answered_query(is_admin=is_admin, by_board=by_board),
        *_list_page_queries(is_admin=is_admin),
        *_list_summary_queries(is_admin=is_admin, by_board=by_board),
    )


@cache
def _build_next_query(*, is_admin: bool) -> Query[NextItem]:
    listed = _select_listed(is_admin=is_admin).subquery("waiting")
    is_earlier = tuple_(listed.c.at, listed.c.id) <= tuple_(
        bindparam("start_at", type_=DateTime(timezone=True)), bindparam("start_id", type_=Uuid)
    )
    query = select(listed.c.id, listed.c.kind == REQUEST).where(listed.c.kind != QUESTION)
    query = query.order_by(listed.c.waits_for_others, is_earlier, listed.c.at, listed.c.id)
    return Query(query.limit(1), NextItem._make)


def _find_midnight(timezone: str | None) -> datetime:
    """Return the start of today in a time zone; 24 hours ago if the zone is unknown."""
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return now() - timedelta(days=1)
    today = now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return today.astimezone(UTC)
