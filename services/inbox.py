"""Load what waits for a member, page by page, and what was decided today, in one statement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import itemgetter
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
COMMON = 5  # queries of _list_common_queries


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
    """Which items are on a page: the first ones from `start` on, or the last ones before it."""

    limit: int
    start: WaitingKey = FIRST_KEY
    is_before: bool = False


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


@dataclass(frozen=True)
class WaitingItems:
    """What waits for a member, and what was decided today, last decision first."""

    page: WaitingPage
    counts: WaitingCounts
    limited_agents: Sequence[LimitedAgent]  # whose further requests are held
    uncalled_agents: Sequence[UncalledAgent]  # for which tasks wait
    writable_board_ids: set[UUID]
    decided_approvals: Sequence[ApprovalDetail]  # without their contents
    answered_requests: Sequence[RequestDetail]
    decided_total: int  # of all approvals, also before today


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
    by_board = board_id is not None
    listed = WaitingFilter([board_id] if board_id else None, min_confidence)
    query = _build_query(
        is_admin=member.is_admin,
        by_board=by_board,
        is_before=paging.is_before,
    )
    found = await query.fetch(
        source,
        board_id=board_id,
        since=_find_midnight(member.user.timezone),
        held_since=now() - approvals.PERIOD,
        uncalled_since=now() - offline_after,
        **_build_parameters(member, listed, paging),
    )
    page, counts = await _build_page(source, member, listed, paging, found)
    limited, uncalled, writable, decided_total, decided_approvals, answered = found[COMMON:][:6]
    return WaitingItems(
        page,
        counts,
        limited,
        agents.list_missed_first_calls(uncalled, offline_after),
        set(writable),
        decided_approvals,
        answered,
        decided_total[0],
    )


async def load_waiting_page(
    source: Source, member: Member, listed: WaitingFilter, limit: int
) -> tuple[WaitingPage, WaitingCounts]:
    """Load the items that wait longest, and the numbers of all items of the member."""
    query, paging = _build_page_query(is_admin=member.is_admin), WaitingPaging(limit)
    found = await query.fetch(source, **_build_parameters(member, listed, paging))
    return await _build_page(source, member, listed, paging, found)


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
    return await query.first(source, **_build_parameters(member, listed, paging))


def _build_parameters(
    member: Member, listed: WaitingFilter, paging: WaitingPaging
) -> dict[str, object]:
    return {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "board_ids": None if listed.board_ids is None else list(listed.board_ids),
        "min_confidence": listed.min_confidence,
        "start_waits_for_others": paging.start.waits_for_others,
        "start_at": paging.start.requested_at,
        "start_id": paging.start.id,
        "page_limit": paging.limit + 1,
    }


async def _build_page(
    source: Source,
    member: Member,
    listed: WaitingFilter,
    paging: WaitingPaging,
    found: Sequence[Sequence[Any]],
) -> tuple[WaitingPage, WaitingCounts]:
    """Merge the onboardings, which are few, into the rows of a page, and into the numbers."""
    rows, [row_count], waiting, asked, opened = found[:COMMON]
    counted = len(waiting_counts.list_count_queries(is_admin=member.is_admin))
    counts = await waiting_counts.build_waiting_counts(source, found[-counted:])
    pending = counts.onboardings

    details: dict[UUID, WaitingDetail] = {one.approval.id: one for one in waiting}
    details |= {one.request.id: one for one in asked} | {one.question.id: one for one in opened}
    shown = () if listed.min_confidence else pending
    own = [
        WaitingItem(WaitingKey(False, one.since, one.id), one)
        for one in shown
        if listed.includes(one.board.id)
    ]
    merged = [WaitingItem(row.key, details[row.id]) for row in rows]
    merged += [one for one in own if (one.key < paging.start) is paging.is_before]
    merged.sort(key=lambda one: one.key, reverse=paging.is_before)
    items = sorted(merged[: paging.limit], key=lambda one: one.key)
    if not items:
        return WaitingPage([], 0, row_count + len(own), None), counts
    first = items[0].key
    places = (row.place for row in rows if row.key >= first)
    offset = min(places, default=row_count + 1) - 1 + sum(one.key < first for one in own)
    rest = [paging.start] if paging.is_before else [one.key for one in merged[paging.limit :]]
    return WaitingPage(items, offset, row_count + len(own), next(iter(rest), None)), counts


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


def _list_common_queries(*, is_admin: bool, is_before: bool = False) -> list[Query[Any]]:
    """Return the queries of a page and of the numbers of items, which `_build_page` reads."""
    listed = _select_listed(is_admin=is_admin).subquery("waiting")
    key: tuple[Any, ...] = (listed.c.waits_for_others, listed.c.at, listed.c.id)
    place = func.row_number().over(order_by=key).label("place")
    placed = select(*listed.c, place).cte("placed")
    key = (placed.c.waits_for_others, placed.c.at, placed.c.id)
    start = tuple_(
        bindparam("start_waits_for_others", type_=Boolean),
        bindparam("start_at", type_=DateTime(timezone=True)),
        bindparam("start_id", type_=Uuid),
    )
    page = select(placed).limit(bindparam("page_limit", type_=Integer))
    if is_before:
        page = page.where(tuple_(*key) < start).order_by(*(column.desc() for column in key))
    else:
        page = page.where(tuple_(*key) >= start).order_by(*key)
    page_rows = page.cte("page")
    shown = select(*(page_rows.c[name] for name in _Row._fields)).order_by(page_rows.c.place)
    return [
        Query(shown, _Row._make),
        Query(select(func.count()).select_from(placed), itemgetter(0)),
        approvals.build_listed_query(page_rows),
        requests.build_listed_query(page_rows),
        questions.build_listed_query(page_rows),
    ]


@cache
def _build_page_query(*, is_admin: bool) -> CombinedQuery:
    return CombinedQuery(
        *_list_common_queries(is_admin=is_admin),
        *waiting_counts.list_count_queries(is_admin=is_admin),
    )


@cache
def _build_query(*, is_admin: bool, by_board: bool, is_before: bool) -> CombinedQuery:
    return CombinedQuery(
        *_list_common_queries(is_admin=is_admin, is_before=is_before),
        approvals.build_limited_agents_query(),
        agents.build_uncalled_query(by_board=by_board),
        boards.WRITABLE_IDS,
        approvals.build_decided_count_query(by_board=by_board),
        approvals.build_decided_since_query(by_board=by_board),
        requests.build_answered_query(is_admin=is_admin, by_board=by_board),
        *waiting_counts.list_count_queries(is_admin=is_admin),
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
