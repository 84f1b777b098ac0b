"""Load what waits for a member, page by page, and what was decided today, in one statement."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import product
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    DateTime,
    Float,
    FromClause,
    Integer,
    String,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    null,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from core.clock import now
from core.db.reads import AnySelect, CombinedQuery, Query, Source
from models import Agent, Approval, Member, RiskLevel
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
ONBOARDING = "onboarding"  # the kind of onboardings
PAGE_QUERIES = 6  # of _list_page_queries
MAX_SORT_LENGTH = 100  # characters of a name or kind by which items are ordered
MAX_OPTIONS = 100  # agents, and kinds, that a filter offers
MAX_EQUAL = 200  # identical requests that a page shows: so many are decided at once


class WaitingOrder(StrEnum):
    """The order of the items. Of equal ones, what waits longest is first."""

    AGE = "age"
    RISK = "risk"  # the highest first
    AGENT = "agent"  # by name; what users requested is last
    KIND = "kind"


class WaitingKey(NamedTuple):
    """The place of an item: what waits for other people is last."""

    waits_for_others: bool  # the member may not decide it, or has approved it as the first of two
    sort: str  # by which a WaitingOrder sorts first; compared by code points
    requested_at: datetime
    id: UUID


FIRST_KEY = WaitingKey(False, "", datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True)
class WaitingFilter:
    """Which items are listed."""

    board_ids: Collection[UUID] | None = None  # None: all, also those without a board
    min_confidence: float = 0  # above 0, only approvals are listed
    agent_ids: Collection[UUID] = ()  # none: all
    kinds: Collection[str] = ()  # none: all
    risks: Collection[RiskLevel] = ()  # none: all

    def includes(self, pending: PendingOnboarding) -> bool:
        """Return whether an onboarding is listed."""
        return (
            not self.min_confidence
            and (self.board_ids is None or pending.board.id in self.board_ids)
            and (not self.agent_ids or pending.agent.id in self.agent_ids)
            and (not self.kinds or ONBOARDING in self.kinds)
            and (not self.risks or RiskLevel.LOW in self.risks)
        )

    @property
    def only_board_id(self) -> UUID | None:
        """Return the board if only one is listed."""
        ids = list(self.board_ids or ())
        return ids[0] if len(ids) == 1 else None


EVERYTHING = WaitingFilter()


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
    opened_hash: str = ""  # of identical requests that the page shows one by one


PAGE_SIZE = 50  # items
FIRST_PAGE = WaitingPaging(PAGE_SIZE)


class WaitingItem(NamedTuple):
    """An item that waits for a member, or for other people.

    Of identical requests, which have the same kind and payload, the first one in the order is an
    item of a page, and the others are `equal` to it if they are opened.
    """

    key: WaitingKey
    detail: WaitingDetail
    equal_count: int = 1  # identical requests, with this one
    equal: Sequence["WaitingItem"] = ()


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


class FilterChoices(NamedTuple):
    """The agents and kinds of what waits, the most frequent first, with their numbers of items."""

    agents: Sequence[tuple[UUID, str, int]]
    kinds: Sequence[tuple[str, int]]


NO_CHOICES = FilterChoices((), ())


@dataclass(frozen=True)
class WaitingItems:
    """What waits for a member, and what was decided today, last decision first."""

    summary: InboxSummary
    page: WaitingPage
    choices: FilterChoices
    decided_approvals: Sequence[ApprovalDetail]  # without their contents
    answered_requests: Sequence[RequestDetail]


def compile_statements() -> None:
    """Compile the statements of the complete list in its usual order; call this in a thread.

    It takes too long for the first request of a process.
    """
    for is_admin, with_counts in product((True, False), repeat=2):
        shape = _SummaryShape(is_admin, by_board=False, with_counts=with_counts)
        _build_query(shape, WaitingOrder.AGE).compile()


async def load_waiting_items(
    source: Source,
    member: Member,
    paging: WaitingPaging = FIRST_PAGE,
    listed: WaitingFilter = EVERYTHING,
    order: WaitingOrder = WaitingOrder.AGE,
    *,
    counts: WaitingCounts | None = None,
    offline_after: timedelta = agents.OFFLINE_AFTER,
) -> WaitingItems:
    """Load what waits for a member on the boards that they may read, or on some of them.

    Runs one statement, and a second one if there are open onboardings and no `counts`, which are
    those of `waiting_counts` if they are loaded already. What was decided is that of all boards, or
    of the only board that is listed. Days begin at midnight in the member's time zone. Agents that
    have never called are overdue after `offline_after`, or two of their heartbeats.
    """
    board_id = listed.only_board_id
    shape = _SummaryShape(member.is_admin, board_id is not None, counts is None)
    found = await _build_query(shape, order).fetch(
        source,
        **_build_summary_parameters(member, board_id, offline_after),
        **_build_page_parameters(listed, paging),
        since=_find_midnight(member.user.timezone),
    )
    decided_approvals, answered, names, kinds, *found = found
    page_rows, summary_rows = found[:PAGE_QUERIES], found[PAGE_QUERIES:]
    summary = await _build_summary(source, summary_rows, counts, offline_after)
    page = _build_page(listed, order, paging, page_rows, summary.counts.onboardings)
    choices = FilterChoices(names, kinds)
    return WaitingItems(summary, page, choices, decided_approvals, answered)


@dataclass(frozen=True)
class SomeItems:
    """Some approvals of the list, and what the inbox shows beside them."""

    items: Sequence[WaitingItem]
    places: Mapping[UUID, int]  # in the whole list, from 1; also of gateway requests
    total: int  # rows of the whole list
    counts: WaitingCounts
    writable_board_ids: set[UUID]
    decided_total: int  # of all approvals


async def load_some_items(
    source: Source,
    member: Member,
    listed: WaitingFilter,
    order: WaitingOrder,
    ids: Collection[UUID],
) -> SomeItems:
    """Load those of these approvals that are listed, without the rest of the list."""
    found = await _build_some_query(order, is_admin=member.is_admin).fetch(
        source,
        **_build_member_parameters(member),
        **_build_filter_parameters(listed),
        board_id=None,
        ids=list(ids),
    )
    rows, details, [total], writable, [decided_total], *counted = found
    counts = await waiting_counts.build_waiting_counts(source, counted)
    own = _list_onboardings(listed, order, counts.onboardings)
    by_id = {one.approval.id: one for one in details}
    return SomeItems(
        [WaitingItem(row.key, by_id[row.id], row.equal_count) for row in rows if row.id in by_id],
        {row.id: row.place + sum(one.key < row.key for one in own) for row in rows},
        total + len(own),
        counts,
        set(writable),
        decided_total,
    )


async def load_inbox_summary(
    source: Source,
    member: Member,
    *,
    board_id: UUID | None = None,
    counts: WaitingCounts | None = None,
    offline_after: timedelta = agents.OFFLINE_AFTER,
) -> InboxSummary:
    """Load what the inbox shows beside its lists, as `load_waiting_items` does."""
    shape = _SummaryShape(member.is_admin, board_id is not None, counts is None)
    parameters = _build_summary_parameters(member, board_id, offline_after)
    found = await _build_summary_query(shape).fetch(source, **parameters)
    return await _build_summary(source, found, counts, offline_after)


async def load_waiting_page(
    source: Source,
    member: Member,
    listed: WaitingFilter,
    limit: int,
    counts: WaitingCounts | None = None,
) -> tuple[WaitingPage, WaitingCounts]:
    """Load the items that wait longest, and the numbers of all items, if they are not given."""
    query = _build_page_query(is_admin=member.is_admin, with_counts=counts is None)
    paging = WaitingPaging(limit)
    parameters = _build_member_parameters(member) | _build_page_parameters(listed, paging)
    found = await query.fetch(source, **parameters)
    counts = counts or await waiting_counts.build_waiting_counts(source, found[PAGE_QUERIES:])
    rows, order = found[:PAGE_QUERIES], WaitingOrder.AGE
    return _build_page(listed, order, paging, rows, counts.onboardings), counts


class NextItem(NamedTuple):
    """An item of the inbox that is shown after another one was decided."""

    id: UUID
    is_request: bool  # of a gateway
    waits_for_others: bool
    is_earlier: bool  # in the list than what was decided


async def list_next_items(
    source: Source, member: Member, listed: WaitingFilter, order: WaitingOrder, id: UUID
) -> Sequence[NextItem]:
    """Return the approval or gateway request after an approval, and the one after that.

    After the last one the first is shown, which no other one precedes. Items that wait for other
    people are shown only if nothing else waits.
    """
    query = _build_next_query(order, is_admin=member.is_admin)
    parameters = _build_member_parameters(member) | _build_filter_parameters(listed)
    found = await query.fetch(source, **parameters, decided_id=id)
    is_wrapped = len({one.waits_for_others for one in found}) == 1 and (
        len({one.is_earlier for one in found}) == 2
    )
    return found[:1] if is_wrapped else found


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


def _build_filter_parameters(listed: WaitingFilter) -> dict[str, object]:
    return {
        "board_ids": None if listed.board_ids is None else list(listed.board_ids),
        "min_confidence": listed.min_confidence,
        "agent_ids": list(listed.agent_ids) or None,
        "kinds": list(listed.kinds) or None,
        "risks": list(listed.risks) or None,
    }


def _build_page_parameters(listed: WaitingFilter, paging: WaitingPaging) -> dict[str, object]:
    return _build_filter_parameters(listed) | {
        "start_waits_for_others": paging.start.waits_for_others,
        "start_sort": paging.start.sort,
        "start_at": paging.start.requested_at,
        "start_id": paging.start.id,
        "rows_before": paging.limit if paging.is_before else 0,
        "selected_id": paging.selected_id,
        "opened_hash": paging.opened_hash or None,
        "page_limit": paging.limit,
    }


async def _build_summary(
    source: Source,
    found: Sequence[Sequence[Any]],
    counts: WaitingCounts | None,
    offline_after: timedelta,
) -> InboxSummary:
    limited, uncalled, writable, [decided_total], *counted = found
    return InboxSummary(
        counts or await waiting_counts.build_waiting_counts(source, counted),
        limited,
        agents.list_missed_first_calls(uncalled, offline_after),
        set(writable),
        decided_total,
    )


def _build_page(
    listed: WaitingFilter,
    order: WaitingOrder,
    paging: WaitingPaging,
    found: Sequence[Sequence[Any]],
    pending: Sequence[PendingOnboarding],
) -> WaitingPage:
    """Merge the onboardings, which are few, into the rows of a page."""
    rows, [(row_count, asked_place)], opened_rows, waiting, asked, opened = found
    details: dict[UUID, WaitingDetail] = {one.approval.id: one for one in waiting}
    details |= {one.request.id: one for one in asked} | {one.question.id: one for one in opened}
    own = _list_onboardings(listed, order, pending)
    start, is_before = paging.start, paging.is_before
    has_asked_rows = 1 <= asked_place <= row_count
    has_own_after = not is_before and any(one.key >= start for one in own)
    if rows and rows[0].place != asked_place and rows[0].is_selected:
        start, is_before = rows[0].key, False
    elif not has_asked_rows and not has_own_after:
        start, is_before = FIRST_KEY, False

    equal: defaultdict[tuple[bool, str | None], list[WaitingItem]] = defaultdict(list)
    for row in opened_rows:
        equal[row.group].append(WaitingItem(row.key, details[row.id]))
    merged = own + [
        WaitingItem(row.key, details[row.id], row.equal_count, equal.get(row.group, ()))
        for row in rows
    ]
    merged = [one for one in merged if (one.key < start) is is_before]
    merged.sort(key=lambda one: one.key)
    selected = next((row.key for row in rows if row.is_selected), FIRST_KEY)
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


def _list_onboardings(
    listed: WaitingFilter, order: WaitingOrder, pending: Sequence[PendingOnboarding]
) -> list[WaitingItem]:
    """Return the items of the onboardings that are listed."""
    return [
        WaitingItem(WaitingKey(False, _sort_onboarding(order, one), one.since, one.id), one)
        for one in pending
        if listed.includes(one)
    ]


class _Row(NamedTuple):
    id: UUID
    at: datetime
    waits_for_others: bool
    sort: str
    equality_hash: str | None
    equal_count: int
    is_selected: bool  # whether it is the selected item, or equal to it
    place: int  # among all rows, from 1; 0 for one that is equal to another

    @property
    def key(self) -> WaitingKey:
        return WaitingKey(self.waits_for_others, self.sort, self.at, self.id)

    @property
    def group(self) -> tuple[bool, str | None]:
        return self.waits_for_others, self.equality_hash


RISK_RANKS = {risk.value: str(rank) for rank, risk in enumerate(reversed(RiskLevel))}


def _sort_rows(order: WaitingOrder, rows: FromClause) -> ColumnElement[str]:
    """Select the text by which rows are ordered first. PostgreSQL compares it by code points."""
    match order:
        case WaitingOrder.AGE:
            sort: ColumnElement[str] = literal("", Text)
        case WaitingOrder.RISK:
            sort = case(RISK_RANKS, value=rows.c.risk)
        case WaitingOrder.AGENT:
            name = func.left(rows.c.agent_name, MAX_SORT_LENGTH)
            sort = func.coalesce("0" + name + " " + cast(rows.c.agent_id, Text), "1")
        case WaitingOrder.KIND:
            sort = func.left(rows.c.request_kind, MAX_SORT_LENGTH)
    return cast(sort, Text).collate("C")


def _sort_onboarding(order: WaitingOrder, pending: PendingOnboarding) -> str:
    agent = pending.agent
    return {
        WaitingOrder.AGE: "",
        WaitingOrder.RISK: RISK_RANKS[RiskLevel.LOW],
        WaitingOrder.AGENT: f"0{agent.name[:MAX_SORT_LENGTH]} {agent.id}",
        WaitingOrder.KIND: ONBOARDING,
    }[order]


def _select_waiting(*, is_admin: bool) -> AnySelect:
    """Select all rows of the inbox. They are few: nobody has decided them."""
    found = approvals.undecided_rows_query().add_columns(Approval.confidence)
    asked = requests.waiting_rows_query(is_admin=is_admin).add_columns(null())
    opened = questions.open_rows_query().add_columns(null())
    kinds = [(APPROVAL, found), (REQUEST, asked), (QUESTION, opened)]
    rows = union_all(*(query.add_columns(literal(kind).label("kind")) for kind, query in kinds))
    return select(rows.subquery("rows"))


def _select_listed(order: WaitingOrder, waiting: FromClause) -> AnySelect:
    """Select the rows that a filter lists, with the text `sort`."""
    board_ids = bindparam("board_ids", type_=ARRAY(Uuid()))
    agent_ids = bindparam("agent_ids", type_=ARRAY(Uuid()))
    kinds, risks = (bindparam(name, type_=ARRAY(Text())) for name in ("kinds", "risks"))
    min_confidence = bindparam("min_confidence", type_=Float)
    return select(waiting, _sort_rows(order, waiting).label("sort")).where(
        or_(board_ids.is_(None), waiting.c.board_id == func.any(board_ids)),
        or_(agent_ids.is_(None), waiting.c.agent_id == func.any(agent_ids)),
        or_(kinds.is_(None), waiting.c.request_kind == func.any(kinds)),
        or_(risks.is_(None), waiting.c.risk == func.any(risks)),
        or_(min_confidence == 0, waiting.c.confidence >= min_confidence),
    )


def _list_key(rows: FromClause) -> list[ColumnElement[Any]]:
    """Return the columns of a WaitingKey."""
    return [rows.c.waits_for_others, rows.c.sort, rows.c.at, rows.c.id]


def _group_rows(order: WaitingOrder, waiting: FromClause) -> CTE:
    """Select the listed rows, each with its number among equal ones, and how many these are."""
    listed = _select_listed(order, waiting).subquery("listed")
    key = _list_key(listed)
    equal = func.coalesce(listed.c.equality_hash, cast(listed.c.id, Text))
    partition = (listed.c.waits_for_others, equal)
    return select(
        *listed.c,
        equal.label("equal"),
        func.row_number().over(partition_by=partition, order_by=key).label("number"),
        func.count().over(partition_by=partition).label("equal_count"),
    ).cte("grouped")


def _list_page_queries(order: WaitingOrder, waiting: FromClause) -> list[Query[Any]]:
    """Return the queries of a page, which `_build_page` reads. Of it, one row more is selected."""
    grouped = _group_rows(order, waiting)
    selected_id = bindparam("selected_id", type_=Uuid)
    chosen = select(grouped.c.waits_for_others, grouped.c.equal).where(grouped.c.id == selected_id)
    is_selected = tuple_(grouped.c.waits_for_others, grouped.c.equal).in_(chosen)
    place = func.row_number().over(order_by=_list_key(grouped)).label("place")
    columns = (*grouped.c, is_selected.label("is_selected"))
    placed = select(*columns, place).where(grouped.c.number == 1).cte("placed")
    start = tuple_(
        bindparam("start_waits_for_others", type_=Boolean),
        bindparam("start_sort", type_=Text),
        bindparam("start_at", type_=DateTime(timezone=True)),
        bindparam("start_id", type_=Uuid),
    )
    key: tuple[Any, ...]
    key = (placed.c.waits_for_others, placed.c.sort.collate("C"), placed.c.at, placed.c.id)
    earlier = func.count().filter(tuple_(*key) < start)
    asked_place = earlier + 1 - bindparam("rows_before", type_=Integer)
    totals = select(func.count().label("rows"), asked_place.label("asked_place"))
    counted = totals.select_from(placed).cte("counted")

    limit = bindparam("page_limit", type_=Integer)
    is_empty = ~counted.c.asked_place.between(1, counted.c.rows)
    asked_start = case((is_empty, 1), else_=counted.c.asked_place)
    is_elsewhere = ~placed.c.place.between(asked_start, asked_start + limit - 1)
    selected = select(placed.c.place).where(placed.c.is_selected, is_elsewhere)
    first = func.coalesce(selected.correlate(counted).scalar_subquery(), asked_start)
    # Materialized, so that it is not computed again for each row.
    bounds = select(first.label("first")).select_from(counted).cte("bounds")
    bounds = bounds.prefix_with("MATERIALIZED")
    is_on_page = placed.c.place.between(bounds.c.first, bounds.c.first + limit)
    page = select(placed).join(bounds, is_on_page)
    page_rows = page.cte("page")

    hash = grouped.c.equality_hash
    has_opened = tuple_(grouped.c.waits_for_others, grouped.c.equal).in_(
        chosen.where(grouped.c.number > 1)  # one of the others is selected
    )
    is_opened = or_(hash == bindparam("opened_hash", type_=Text), hash.is_not(None) & has_opened)
    opened = select(*columns, literal(0).label("place"))
    opened = opened.where(is_opened, grouped.c.number.between(2, MAX_EQUAL)).cte("opened")
    ids = select(page_rows.c.id).union_all(select(opened.c.id)).cte("shown")

    return [
        _build_rows_query(page_rows),
        Query(select(counted), tuple),
        _build_rows_query(opened),
        approvals.build_listed_query(ids),
        requests.build_listed_query(ids),
        questions.build_listed_query(ids),
    ]


def _build_rows_query(rows: FromClause) -> Query[_Row]:
    order = (rows.c[name] for name in ("place", "sort", "at", "id"))
    return Query(select(*(rows.c[name] for name in _Row._fields)).order_by(*order), _Row._make)


@cache
def _build_some_query(order: WaitingOrder, *, is_admin: bool) -> CombinedQuery:
    """Build the query of the rows `ids` with their approvals, and of the numbers beside them."""
    grouped = _group_rows(order, _select_waiting(is_admin=is_admin).subquery("waiting"))
    groups = select(grouped.c.waits_for_others, grouped.c.equal)
    by_place = func.row_number().over(order_by=_list_key(grouped))
    placed = groups.add_columns(by_place.label("place")).where(grouped.c.number == 1)
    placed = placed.subquery("placed")
    is_same = (placed.c.waits_for_others == grouped.c.waits_for_others) & (
        placed.c.equal == grouped.c.equal
    )
    rows = select(*grouped.c, false().label("is_selected"), placed.c.place).join(placed, is_same)
    rows = rows.where(grouped.c.id == func.any(bindparam("ids", type_=ARRAY(Uuid())))).cte("some")
    total = select(func.count()).select_from(grouped).where(grouped.c.number == 1)
    return CombinedQuery(
        _build_rows_query(rows),
        approvals.build_listed_query(rows),
        Query(total, itemgetter(0)),
        boards.WRITABLE_IDS,
        approvals.build_decided_count_query(by_board=False),
        *waiting_counts.list_count_queries(is_admin=is_admin),
    )


def _list_choice_queries(waiting: FromClause) -> list[Query[Any]]:
    count = func.count()
    names = select(waiting.c.agent_id, waiting.c.agent_name, count)
    names = names.where(waiting.c.agent_id.is_not(None))
    names = names.group_by(waiting.c.agent_id, waiting.c.agent_name)
    kinds = select(waiting.c.request_kind, count).group_by(waiting.c.request_kind)
    return [
        Query(names.order_by(count.desc(), waiting.c.agent_id).limit(MAX_OPTIONS), tuple),
        Query(kinds.order_by(count.desc(), waiting.c.request_kind).limit(MAX_OPTIONS), tuple),
    ]


@cache
def _build_page_query(*, is_admin: bool, with_counts: bool) -> CombinedQuery:
    waiting = _select_waiting(is_admin=is_admin).cte("waiting")
    counts = waiting_counts.list_count_queries(is_admin=is_admin) if with_counts else []
    return CombinedQuery(*_list_page_queries(WaitingOrder.AGE, waiting), *counts)


class _SummaryShape(NamedTuple):
    """What the statement of a summary selects."""

    is_admin: bool
    by_board: bool
    with_counts: bool


def _list_summary_queries(shape: _SummaryShape) -> list[Query[Any]]:
    counts = waiting_counts.list_count_queries(is_admin=shape.is_admin)
    return [
        approvals.LIMITED_AGENTS,
        agents.build_uncalled_query(by_board=shape.by_board),
        boards.WRITABLE_IDS,
        approvals.build_decided_count_query(by_board=shape.by_board),
        *(counts if shape.with_counts else []),
    ]


@cache
def _build_summary_query(shape: _SummaryShape) -> CombinedQuery:
    return CombinedQuery(*_list_summary_queries(shape))


@cache
def _build_query(shape: _SummaryShape, order: WaitingOrder) -> CombinedQuery:
    waiting = _select_waiting(is_admin=shape.is_admin).cte("waiting")
    return CombinedQuery(
        approvals.build_decided_since_query(by_board=shape.by_board),
        requests.build_answered_query(is_admin=shape.is_admin, by_board=shape.by_board),
        *_list_choice_queries(waiting),
        *_list_page_queries(order, waiting),
        *_list_summary_queries(shape),
    )


@cache
def _build_next_query(order: WaitingOrder, *, is_admin: bool) -> Query[NextItem]:
    waiting = _select_waiting(is_admin=is_admin).subquery("waiting")
    listed = _select_listed(order, waiting).subquery("listed")
    decided = select(
        Approval.created_at.label("at"),
        Approval.id,
        Approval.agent_id,
        Agent.name.label("agent_name"),
        Approval.action_type.label("request_kind"),
        func.coalesce(type_coerce(Approval.risk, String), RiskLevel.HIGH).label("risk"),
    )
    decided = decided.outerjoin(Agent, Agent.id == Approval.agent_id)
    place = decided.where(Approval.id == bindparam("decided_id", type_=Uuid)).subquery("decided")
    after = tuple_(_sort_rows(order, place), place.c.at, place.c.id)
    is_earlier = tuple_(listed.c.sort, listed.c.at, listed.c.id) <= after
    query = select(listed.c.id, listed.c.kind == REQUEST, listed.c.waits_for_others, is_earlier)
    query = query.where(listed.c.kind != QUESTION).join(place, true())
    by_place = (listed.c.sort, listed.c.at, listed.c.id)
    query = query.order_by(listed.c.waits_for_others, is_earlier, *by_place)
    return Query(query.limit(2), NextItem._make)


def _find_midnight(timezone: str | None) -> datetime:
    """Return the start of today in a time zone; 24 hours ago if the zone is unknown."""
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return now() - timedelta(days=1)
    today = now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return today.astimezone(UTC)
