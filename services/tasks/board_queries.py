"""What a board shows: the cards of its columns and days in their order, and their neighbors."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    String,
    Subquery,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    union,
    union_all,
)

from core.accents import build_pattern
from core.db.reads import CombinedQuery, Query, Source, cache_queries
from core.paging import KeysetPage, KeysetQuery, PagePlace
from models import (
    IS_OPEN,
    OPEN_DEPENDENCY_COUNT,
    PRIORITY_PLACE,
    USER_NAME,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    BoardCounts,
    Status,
    Tag,
    TagAssignment,
    Task,
    User,
)
from services import boards, counters, custom_fields, policies
from services.tasks.queries import (
    BOARD_ID,
    CARD_TASKS,
    IS_UNASSIGNED,
    LIST_COLUMNS,
    PRIORITY_RANK,
    TASK_ID,
    WORKER_ID,
    CardTask,
    ListedTask,
    approval_ids_query,
    build_card_task,
)

# Order

NAME_IN_ORDER = func.coalesce(
    select(func.lower(Agent.name)).where(Agent.id == WORKER_ID).correlate(Task).scalar_subquery(),
    select(func.lower(USER_NAME))
    .where(User.id == Task.assigned_user_id)
    .correlate(Task)
    .scalar_subquery(),
)
FIRST_TAG = (
    select(func.min(func.lower(Tag.name)))
    .join(TagAssignment, TagAssignment.tag_id == Tag.id)
    .where(TagAssignment.task_id == Task.id)
    .correlate(Task)
    .scalar_subquery()
)
UNDECIDED_COUNT = (
    select(func.count())
    .where(
        Approval.board_id == Task.board_id,
        policies.IS_UNDECIDED,
        Approval.id.in_(approval_ids_query()),
    )
    .correlate(Task)
    .scalar_subquery()
)


def is_blocked() -> ColumnElement[bool]:
    """Select whether a task has an open dependency and is not done."""
    has_open_dependency = literal_column("0") < OPEN_DEPENDENCY_COUNT  # as in the index
    return (Task.status != Status.DONE) & has_open_dependency


ORDERS: Mapping[str, tuple[Any, bool]] = {
    "manual": (Task.rank, True),
    "title": (func.lower(Task.title), False),
    "description": (func.lower(func.left(Task.description, 200)), False),
    "flags": (case((UNDECIDED_COUNT > 0, 0), (is_blocked(), 1), else_=2), False),
    "approvals": (UNDECIDED_COUNT, True),
    "tags": (FIRST_TAG, False),
    "priority": (PRIORITY_RANK, True),
    "assignee": (NAME_IN_ORDER, False),
    "due": (Task.due_at, False),
    "updated": (Task.updated_at, True),
    "created": (Task.created_at, True),
}
"""What tasks can be sorted by, and whether the highest value is the first."""
REQUIRED_KEYS = {"manual", "title", "flags", "approvals", "priority", "updated", "created"}
CREATED_AT: Any = Task.created_at
ID: Any = Task.id


@dataclass(frozen=True)
class SortKey:
    """What tasks are sorted by. Tasks without a value are last."""

    column: ColumnElement[Any]
    is_descending: bool
    is_required: bool = False  # whether every task has a value

    def sorted(self, *, is_reversed: bool = False) -> ColumnElement[Any]:
        """Return the expression for ORDER BY."""
        column = self.column
        ordered = column.desc() if self.is_descending is not is_reversed else column.asc()
        if self.is_required:
            return ordered
        return ordered.nulls_first() if is_reversed else ordered.nulls_last()

    def compare(self, value: ColumnElement[Any], *, is_after: bool) -> ColumnElement[bool]:
        """Match the tasks that are before or after a value."""
        column = self.column
        nearer = column < value if self.is_descending is is_after else column > value
        if self.is_required:
            return nearer
        if is_after:
            return or_(nearer, and_(column.is_(None), value.is_not(None)))
        return or_(nearer, and_(column.is_not(None), value.is_(None)))

    def bound(self, value: ColumnElement[Any], *, is_after: bool) -> ColumnElement[bool]:
        """Match the tasks that are at, before or after a value that every task has."""
        return self.column <= value if self.is_descending is is_after else self.column >= value


@dataclass(frozen=True)
class BoardOrder:
    """The order of the tasks in each column, and of the columns.

    With `in_sections` the Review column starts with the tasks that wait for a decision and ends
    with the blocked ones.
    """

    key: str = "manual"
    is_reversed: bool = False
    in_sections: bool = False
    statuses: tuple[Status, ...] = tuple(Status)

    def has_sections(self, status: Status) -> bool:
        """Return whether a column is sorted by its sections first."""
        return self.in_sections and status is Status.REVIEW

    def list_keys(self, status: Status) -> Sequence[SortKey]:
        """Return what the tasks of a column are sorted by."""
        keys = self._list_common_keys()
        if not self.has_sections(status):
            return keys
        # waits for a decision, for the lead, is blocked
        section = case((Task.id.in_(_undecided_task_ids()), 0), (is_blocked(), 2), else_=1)
        return [SortKey(section, False, True), *keys]

    def within_section(self) -> Sequence[ColumnElement[Any]]:
        """Return the expressions by which the tasks of a section, or of a column, are sorted."""
        return [key.sorted() for key in self._list_common_keys()]

    def list_sections(self, status: Status) -> Sequence[ColumnElement[bool]]:
        """Return the conditions of the sections of a column; without sections, one for all."""
        if not self.has_sections(status):
            return [true()]
        is_undecided = Task.id.in_(_undecided_task_ids())
        others = ~is_undecided
        return [is_undecided, others & ~is_blocked(), others & is_blocked()]

    def _list_common_keys(self) -> list[SortKey]:
        column, is_descending = ORDERS[self.key]
        own = SortKey(column, is_descending is not self.is_reversed, self.key in REQUIRED_KEYS)
        return [own, SortKey(CREATED_AT, True, True), SortKey(ID, True, True)]


def _undecided_task_ids() -> Any:
    """Select the tasks of the board that wait for a decision."""
    undecided = (
        (Approval.board_id == BOARD_ID)
        & (Approval.status == ApprovalStatus.PENDING)
        & Approval.decided_status.is_(None)
    )
    links = select(ApprovalTask.task_id).join(Approval, Approval.id == ApprovalTask.approval_id)
    primaries = select(Approval.task_id).where(undecided, Approval.task_id.is_not(None))
    return union(links.where(undecided), primaries)


# Filters


@dataclass(frozen=True, kw_only=True)
class BoardFilters:
    """The filters of a board page; a card must match all of them, and one value of each."""

    q: str = ""  # words in the title or the description
    assignees: tuple[UUID, ...] = ()  # agents or people
    unassigned: bool = False  # also those that are assigned to nobody
    tags: tuple[str, ...] = ()  # their slugs
    priorities: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    not_assignees: tuple[UUID, ...] = ()
    not_unassigned: bool = False
    not_tags: tuple[str, ...] = ()
    approver: UUID | None = None  # only tasks with approvals that wait for this user
    blocked: bool = False  # only tasks with open dependencies
    custom_field: tuple[str, str] | None = None  # its key, and the value or a part of it

    @property
    def words(self) -> list[str]:
        """The words that a task has to contain."""
        return _without_unstorable(self.q).split()

    @property
    def active_names(self) -> frozenset[str]:
        """The names of the filters that are set."""
        return frozenset(name for name, value in vars(self).items() if value)

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter is set."""
        return bool(self.active_names)

    @property
    def shape(self) -> tuple[frozenset[str], int]:
        """The arguments of `_build_conditions`: the filters that are set, and how many words."""
        return self.active_names - {"q"}, len(self.words)

    def build_parameters(self, board: Board) -> dict[str, object]:
        """Return the parameters of the conditions."""
        return {
            "board_id": board.id,
            "assignee_ids": [*self.assignees],
            "other_assignee_ids": [*self.not_assignees],
            "user_id": self.approver,
            "tags": [*map(_without_unstorable, self.tags)],
            "other_tags": [*map(_without_unstorable, self.not_tags)],
            "priorities": [*map(_without_unstorable, self.priorities)],
            "statuses": [*self.statuses],
            **custom_fields.build_filter_parameters(*(self.custom_field or ("", ""))),
            **{f"word_{number}": build_pattern(word) for number, word in enumerate(self.words)},
        }


def _without_unstorable(text: str) -> str:
    """Remove the characters that PostgreSQL rejects in a comparison."""
    return text.replace("\0", " ").encode(errors="ignore").decode()


def _build_conditions(active_filters: frozenset[str], word_count: int) -> list[ColumnElement[bool]]:
    """Build the conditions for the tasks of the board `board_id` that match certain filters."""
    words = [bindparam(f"word_{number}", type_=String) for number in range(word_count)]
    assigned = {
        "assignees": _is_assigned("assignee_ids"),
        "unassigned": IS_UNASSIGNED,
    }
    assigned_to = [condition for name, condition in assigned.items() if name in active_filters]
    optional_conditions = {
        "not_assignees": lambda: ~_is_assigned("other_assignee_ids"),
        "not_unassigned": lambda: ~IS_UNASSIGNED,
        "tags": lambda: _is_tagged("tags"),
        "not_tags": lambda: ~_is_tagged("other_tags"),
        "priorities": lambda: Task.priority == func.any(_list_parameter("priorities")),
        "statuses": lambda: Task.status == func.any(_list_parameter("statuses")),
        "approver": _has_approval_for_user,
        "blocked": is_blocked,
        "custom_field": custom_fields.value_filter,
    }
    return [
        Task.board_id == BOARD_ID,
        *(Task.title.regexp_match(word) | Task.description.regexp_match(word) for word in words),
        *([or_(*assigned_to)] if assigned_to else []),
        *(build() for name, build in optional_conditions.items() if name in active_filters),
    ]


def _list_parameter(name: str, type: Any = String) -> Any:
    return bindparam(name, type_=ARRAY(type))


def _is_assigned(name: str) -> ColumnElement[bool]:
    """Match the tasks that are assigned to one of the agents and people of a parameter."""
    ids = select(func.unnest(_list_parameter(name, Uuid)))
    return func.coalesce(or_(WORKER_ID.in_(ids), Task.assigned_user_id.in_(ids)), false())


def _is_tagged(name: str) -> ColumnElement[bool]:
    """Match the tasks with one of the tags whose slugs are in a parameter."""
    tagged = select(TagAssignment.id).join(Tag, Tag.id == TagAssignment.tag_id)
    is_given = Tag.slug == func.any(_list_parameter(name))
    return tagged.where(TagAssignment.task_id == Task.id, is_given).exists()


def _has_approval_for_user() -> ColumnElement[bool]:
    """Match tasks with an approval that waits for the user `user_id`, who may change the board."""
    query = select(Approval.id).where(
        Approval.board_id == Task.board_id,
        policies.IS_UNDECIDED,
        Approval.id.in_(approval_ids_query()),
        ~policies.needs_other_approver(),
    )
    return BOARD_ID.in_(boards.WRITABLE_BOARD_IDS) & query.correlate(Task).exists()


# Columns

CARDS_IN_COLUMN = 50
MAX_COUNTED = 1_000  # tasks that match filters, of a column or group
MAX_GROUPS = 40  # of a list


@dataclass(frozen=True)
class BoardColumn:
    """The first cards of one status in the order of the board.

    `total` counts all cards that match the filters, or with `has_more` as many as are counted.
    """

    status: Status
    cards: Sequence[CardTask]
    total: int
    has_more: bool = False

    @property
    def hidden_count(self) -> int:
        """The number of cards that are not shown."""
        return self.total - len(self.cards)


async def list_board_columns(
    source: Source,
    board: Board,
    filters: BoardFilters | None = None,
    order: BoardOrder | None = None,
    *,
    limits: Mapping[Status, int] | None = None,
) -> list[BoardColumn]:
    """Return the columns of a board, each with its first cards, from left to right.

    A column that the order leaves out has no cards. `limits` are the numbers of cards of columns
    that do not show the usual one.
    """
    filters, order = filters or BoardFilters(), order or BoardOrder()
    limits = dict.fromkeys(Status, CARDS_IN_COLUMN) | dict(limits or {})
    cards_query, totals_query = await _build_column_queries.get(*filters.shape, order)
    parameters = filters.build_parameters(board)
    counts = {f"limit_{status}": limit for status, limit in limits.items()}
    cards = await cards_query.fetch(source, **counts, **parameters)
    shown = {status: [one for one in cards if one.status is status] for status in Status}
    totals = {status: len(of_status) for status, of_status in shown.items()}
    is_complete = len(order.statuses) == len(Status)
    if not is_complete or any(totals[one] >= limits[one] for one in Status):
        totals = await _load_totals(source, totals_query, limits.values(), parameters)
    return [
        BoardColumn(one, shown[one], *_bound_total(totals[one], limits.values(), filters))
        for one in Status
    ]


async def _load_totals(
    source: Source,
    query: Query[tuple[Status, int]],
    limits: Collection[int],
    parameters: Mapping[str, object],
) -> dict[Status, int]:
    """Count the tasks of each status; those that match filters up to one more than are needed."""
    counted = await query.fetch(source, count_limit=_count_limit(limits) + 1, **parameters)
    return dict.fromkeys(Status, 0) | dict(counted)


def _count_limit(limits: Collection[int]) -> int:
    return max(MAX_COUNTED, *(limit + 1 for limit in limits))


def _bound_total(total: int, limits: Collection[int], filters: BoardFilters) -> tuple[int, bool]:
    """Return a number of tasks, and whether there are more, which are not counted."""
    most = _count_limit(limits)
    return (most, True) if filters.is_narrowed and total > most else (total, False)


@cache_queries(max_shapes=128)
def _build_column_queries(
    active_filters: frozenset[str], word_count: int, order: BoardOrder
) -> tuple[Query[CardTask], Query[tuple[Status, int]]]:
    """Build the query of the first cards of each column, and that of the totals."""
    conditions = _build_conditions(active_filters, word_count)
    keys = order.within_section()  # each section is read in its own order
    columns = []
    for status in order.statuses:
        limit: Any = bindparam(f"limit_{status}", type_=Integer)
        sections = []
        for number, in_section in enumerate(order.list_sections(status)):
            # No section has a million cards.
            place = func.row_number().over(order_by=keys) + number * 1_000_000
            section = select(Task.id, place.label("place"))
            section = section.where(Task.status == status, in_section, *conditions)
            sections.append(section.order_by(*keys).limit(limit).subquery().select())
        first = union_all(*sections).subquery()
        columns.append(first.select().order_by(first.c.place).limit(limit).subquery().select())
    shown = union_all(*columns).subquery("shown")
    cards = CARD_TASKS.join(shown, shown.c.id == Task.id).order_by(shown.c.place)
    totals = COUNTED_TOTALS
    if active_filters or word_count:
        counts = [
            select(literal(status, Task.status.type), _count_first(status, conditions))
            for status in Status
        ]
        totals = Query(union_all(*counts).subquery().select())
    return Query(cards, build_card_task), totals


def _count_first(status: Status, conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[int]:
    """Select the number of tasks of a status, up to `count_limit`."""
    found = select(Task.id).where(Task.status == status, *conditions)
    first = found.limit(bindparam("count_limit", type_=Integer)).subquery()
    return select(func.count()).select_from(first).scalar_subquery()


COUNTED_TOTALS: Query[tuple[Status, int]] = Query(
    union_all(
        *(
            select(literal(status, Task.status.type), counter).where(
                BoardCounts.board_id == BOARD_ID
            )
            for status, counter in counters.TASK_COUNTS.items()
        )
    )
    .subquery()
    .select()
)
MAX_BLOCKED_COUNT = 1_000
_BLOCKED = select(Task.id).where(Task.board_id == BOARD_ID, is_blocked()).limit(MAX_BLOCKED_COUNT)
BLOCKED_COUNT: Query[int] = Query(
    select(func.count()).select_from(_BLOCKED.subquery()), itemgetter(0)
)
"""Counts the blocked tasks of a board, up to MAX_BLOCKED_COUNT."""


# Groups of the list


class TaskGrouping(StrEnum):
    """By what the tasks of a list are grouped, if not by status."""

    ASSIGNEE = "assignee"
    TAG = "tag"  # the first one by name
    PRIORITY = "priority"
    DUE = "due"


class DueGroup(IntEnum):
    """When tasks are due, in the order of their groups. Tasks that are done are not overdue."""

    OVERDUE = 0
    TODAY = 1
    WEEK = 2  # in the six days after today
    LATER = 3
    PAST = 4
    UNDATED = 5


class TaskGroup(NamedTuple):
    """The first tasks of a group, the number of all, and the cursor of the last one if it has more.

    The key is a status, an id, a tag's name in lower case, a priority or a DueGroup; None without a
    value. With `has_more` there are more than `total`.
    """

    key: Any
    tasks: Sequence[CardTask]
    total: int
    has_more: bool = False
    cursor: str = ""


class DayStarts(NamedTuple):
    """When days begin in the time zone of a reader; the last one is in a week."""

    today: datetime
    tomorrow: datetime
    next_week: datetime


async def list_task_groups(
    source: Source,
    board: Board,
    grouping: TaskGrouping | None,
    filters: BoardFilters,
    order: BoardOrder,
    days: DayStarts,
    *,
    limits: Mapping[str, int] | None = None,
) -> list[TaskGroup]:
    """Return the groups of the tasks that match, each with its first tasks, those done last.

    Without a grouping they are the statuses. `limits` are the numbers of tasks of groups that do
    not show the usual one, by their keys as texts, "" for None. At most one group more than
    MAX_GROUPS is returned.
    """
    limits = limits or {}
    queries = await _build_groups_queries.get(*filters.shape, order, grouping)
    parameters: dict[str, object] = days._asdict() | filters.build_parameters(board)
    parameters |= {"long_groups": [*limits], "long_limits": [*limits.values()]}
    sizes = {f"limit_{one}": limits.get(one, CARDS_IN_COLUMN) for one in Status}
    rows = await queries.rows.fetch(source, **sizes, **parameters)
    totals: Mapping[Any, int] = {}
    if queries.totals is not None:
        totals = await _load_totals(source, queries.totals, sizes.values(), parameters)
    groups = []
    for key, of_group in groupby(rows, attrgetter("key")):
        found = list(of_group)
        total, has_more = found[-1].total, False
        if queries.totals is not None:
            total, has_more = _bound_total(totals[key], sizes.values(), filters)
        cursor = queries.build_cursor(found[-1].place) if total > len(found) else ""
        groups.append(TaskGroup(key, [one.task for one in found], total, has_more, cursor))
    return groups


class _GroupRow(NamedTuple):
    task: CardTask
    key: Any
    total: int
    place: Sequence[Any]  # the values by which the tasks of the group are ordered


class _GroupsQueries(NamedTuple):
    rows: Query[_GroupRow]
    totals: Query[tuple[Status, int]] | None  # for statuses, whose rows have no totals
    build_cursor: Callable[[Sequence[Any]], str]


@cache_queries(max_shapes=64)
def _build_groups_queries(
    active_filters: frozenset[str],
    word_count: int,
    order: BoardOrder,
    grouping: TaskGrouping | None,
) -> _GroupsQueries:
    shape = (active_filters, word_count, order)
    keyset = _build_group_queries.build(*shape, grouping, has_key=True).page
    conditions, count = _build_conditions(active_filters, word_count), len(keyset.keys)
    if grouping is None:
        totals = _build_column_queries.build(*shape)[1]
        found = _select_first_of_statuses(conditions, order, keyset.keys)
    else:
        totals, found = None, _select_first_of_groups(conditions, grouping, keyset)
    shown = CARD_TASKS.join(found, found.c.id == Task.id)
    shown = shown.order_by(found.c.number, found.c.place)
    keys = [found.c[key.name] for key in keyset.keys]
    rows = Query(
        shown.add_columns(found.c.key, found.c.total, *keys),
        lambda row: _GroupRow(
            build_card_task(row[: -count - 2]), *row[-count - 2 : -count], row[-count:]
        ),
    )
    return _GroupsQueries(rows, totals, keyset.build_cursor)


def _select_first_of_statuses(
    conditions: Sequence[ColumnElement[bool]], order: BoardOrder, keys: Sequence[Any]
) -> Subquery:
    """Select the ids of the first tasks of each status, which is read in its order."""
    places = order.within_section()
    parts = []
    for number, status in enumerate(order.statuses):
        first = select(
            Task.id,
            Task.status.label("key"),
            literal(number, Integer).label("number"),
            func.row_number().over(order_by=places).label("place"),
            literal(0, Integer).label("total"),
            *keys,
        ).where(Task.status == status, *conditions)
        limit: Any = bindparam(f"limit_{status}", type_=Integer)
        parts.append(first.order_by(*places).limit(limit).subquery().select())
    return union_all(*parts).subquery("found")


def _select_first_of_groups(
    conditions: Sequence[ColumnElement[bool]],
    grouping: TaskGrouping,
    keyset: KeysetQuery[Any],
) -> Subquery:
    """Select the ids of the first tasks of the first groups."""
    key, rank = _build_group_key(grouping)
    listed = select(Task.id, key.label("key"), rank.label("rank"), *keyset.keys)
    # of each task once, and not for each use
    tasks = listed.where(*conditions).cte("listed").prefix_with("MATERIALIZED")
    in_order = keyset.sort([tasks.c[one.name] for one in keyset.keys])
    found = select(
        tasks,
        func.row_number().over(partition_by=tasks.c.key, order_by=in_order).label("place"),
        func.count().over(partition_by=tasks.c.key).label("total"),
    ).subquery("found")
    long = func.unnest(_list_parameter("long_groups"), _list_parameter("long_limits", Integer))
    long = long.table_valued("key", "size", name="long").render_derived()
    is_group = long.c.key == func.coalesce(cast(found.c.key, String), "")
    limit = func.coalesce(select(long.c.size).where(is_group).scalar_subquery(), CARDS_IN_COLUMN)
    group_number = func.dense_rank().over(order_by=(found.c.rank.nulls_last(), found.c.key))
    first = found.select().add_columns(group_number.label("number"))
    first = first.where(found.c.place <= limit).subquery("first")
    is_shown = first.c.number <= literal(MAX_GROUPS + 1, Integer)
    return first.select().where(is_shown).subquery("shown")


async def list_matching_ids(
    source: Source,
    board: Board,
    grouping: TaskGrouping | None,
    filters: BoardFilters,
    order: BoardOrder,
    days: DayStarts,
    *,
    limit: int,
) -> list[UUID]:
    """Return the first tasks that match, in the order in which the board or list shows them."""
    query = await _build_ids_query.get(*filters.shape, order, grouping)
    parameters = days._asdict() | filters.build_parameters(board)
    return await query.fetch(source, ids_limit=limit, **parameters)


@cache_queries(max_shapes=64)
def _build_ids_query(
    active_filters: frozenset[str],
    word_count: int,
    order: BoardOrder,
    grouping: TaskGrouping | None,
) -> Query[UUID]:
    query = select(Task.id).where(
        Task.status.in_([literal_column(f"'{status}'") for status in order.statuses]),
        *_build_conditions(active_filters, word_count),
    )
    if grouping is None:
        sections = [
            (Task.status == status) & condition
            for status in order.statuses
            for condition in order.list_sections(status)
        ]
        places = [case(*((section, number) for number, section in enumerate(sections)))]
    else:
        key, rank = _build_group_key(grouping)
        places = [rank.nulls_last(), key, Task.status == Status.DONE]
    in_order = query.order_by(*places, *order.within_section())
    return Query(in_order.limit(bindparam("ids_limit", type_=Integer)), itemgetter(0))


async def list_group_page(
    source: Source,
    board: Board,
    grouping: TaskGrouping | None,
    key: Any,
    filters: BoardFilters,
    order: BoardOrder,
    days: DayStarts,
    place: PagePlace,
) -> KeysetPage[CardTask]:
    """Return a page of the tasks of one group, or without a grouping of one status."""
    shape = (*filters.shape, order, grouping)
    queries = await _build_group_queries.get(*shape, has_key=key is not None)
    parameters = days._asdict() | filters.build_parameters(board) | {"group_key": key}
    return await queries.page.fetch_page(source, CARDS_IN_COLUMN, place, **parameters)


async def count_group(
    source: Source,
    board: Board,
    grouping: TaskGrouping | None,
    key: Any,
    filters: BoardFilters,
    days: DayStarts,
) -> int:
    """Return the number of tasks of one group, at most one more than MAX_COUNTED."""
    shape = (*filters.shape, BoardOrder(), grouping)
    queries = await _build_group_queries.get(*shape, has_key=key is not None)
    parameters = days._asdict() | filters.build_parameters(board) | {"group_key": key}
    return await queries.count.first(source, **parameters) or 0


class _GroupQueries(NamedTuple):
    page: KeysetQuery[CardTask]
    count: Query[int]


@cache_queries(max_shapes=256)
def _build_group_queries(
    active_filters: frozenset[str],
    word_count: int,
    order: BoardOrder,
    grouping: TaskGrouping | None,
    *,
    has_key: bool,
) -> _GroupQueries:
    key: Any = Task.status if grouping is None else _build_group_key(grouping)[0]
    type = Uuid() if grouping is TaskGrouping.ASSIGNEE else key.type
    in_group = key == bindparam("group_key", type_=type) if has_key else key.is_(None)
    found = select(Task.id).where(in_group, *_build_conditions(active_filters, word_count))
    places = [] if grouping is None else [Task.status == Status.DONE]
    first = found.limit(literal(MAX_COUNTED + 1, Integer)).subquery()
    return _GroupQueries(
        KeysetQuery(
            found,
            [*places, *order.within_section()],
            lambda page: CARD_TASKS.join(page, page.c.id == Task.id),
            build_card_task,
        ),
        Query(select(func.count()).select_from(first), itemgetter(0)),
    )


def _build_group_key(grouping: TaskGrouping) -> tuple[Any, Any]:
    """Build the key of the group of a task, and by what the groups are sorted."""
    if grouping is TaskGrouping.ASSIGNEE:
        return func.coalesce(WORKER_ID, Task.assigned_user_id), NAME_IN_ORDER
    if grouping is TaskGrouping.TAG:
        return FIRST_TAG, FIRST_TAG
    if grouping is TaskGrouping.PRIORITY:
        return Task.priority, -PRIORITY_RANK
    today, tomorrow, next_week = (
        bindparam(name, type_=DateTime(timezone=True)) for name in DayStarts._fields
    )
    key = case(
        (Task.due_at.is_(None), DueGroup.UNDATED.value),
        (Task.due_at >= next_week, DueGroup.LATER.value),
        (Task.due_at >= tomorrow, DueGroup.WEEK.value),
        (Task.due_at >= today, DueGroup.TODAY.value),
        (Task.status == Status.DONE, DueGroup.PAST.value),
        else_=DueGroup.OVERDUE.value,
    )
    return key, key


# Days

OVERDUE, UNDATED = 0, -1  # the other numbers are days, from 1
TASKS_OF_DAY = 4  # that are shown of a day
TASKS_OF_OPEN_DAY = 200
TASKS_OF_LIST = 20  # overdue, or without a date


@dataclass(frozen=True)
class DueTasks:
    """The first tasks of a day or a list, and the number of all.

    With `has_more` there are more than `total`: the tasks of a list are counted up to MAX_COUNTED.
    """

    tasks: Sequence[CardTask] = ()
    total: int = 0
    has_more: bool = False

    @property
    def hidden_count(self) -> int:
        """The number of tasks that are not shown."""
        return self.total - len(self.tasks)


async def list_due_tasks(
    source: Source,
    board: Board,
    filters: BoardFilters,
    day_starts: Sequence[datetime],
    today: datetime,
    *,
    open_day: int = 0,
) -> Mapping[int, DueTasks]:
    """Return the tasks of a board that match the filters, by day.

    `day_starts` are the moments at which the days start, and at which the last one ends. Tasks that
    are not done and were due before `today` are OVERDUE too; those without a due date are UNDATED.
    Of each day only the first tasks are returned, except of the open one.
    """
    query = await _build_days_query.get(*filters.shape)
    parameters = filters.build_parameters(board)
    period = {"day_starts": list(day_starts), "first": day_starts[0], "end": day_starts[-1]}
    rows = await query.fetch(source, today=today, open_day=open_day, **period, **parameters)
    found: dict[int, DueTasks] = {}
    for task, section, total in rows:
        shown = [*found.get(section, DueTasks()).tasks, task]
        has_more = section <= OVERDUE and total > MAX_COUNTED
        found[section] = DueTasks(shown, MAX_COUNTED if has_more else total, has_more)
    return found


@cache_queries(max_shapes=64)
def _build_days_query(
    active_filters: frozenset[str], word_count: int
) -> Query[tuple[CardTask, int, int]]:
    conditions = _build_conditions(active_filters, word_count)
    moment = DateTime(timezone=True)
    day = func.width_bucket(Task.due_at, bindparam("day_starts", type_=ARRAY(moment)))
    is_open = Task.status != Status.DONE
    in_period = (Task.due_at >= bindparam("first", type_=moment)) & (
        Task.due_at < bindparam("end", type_=moment)
    )
    is_overdue = is_open & (Task.due_at < bindparam("today", type_=moment))
    sections = [
        _select_day(day, conditions, in_period),
        _select_first(OVERDUE, conditions, is_overdue),
        _select_first(UNDATED, conditions, IS_UNDATED, UNDATED_ORDER),
    ]
    found = union_all(*sections).subquery("found")
    limit = case(
        (found.c.section <= OVERDUE, TASKS_OF_LIST),
        (found.c.section == bindparam("open_day", type_=Integer), TASKS_OF_OPEN_DAY),
        else_=TASKS_OF_DAY,
    )
    statement = CARD_TASKS.join(found, found.c.id == Task.id).where(found.c.place <= limit)
    return Query(
        statement.add_columns(found.c.section, found.c.total).order_by(
            found.c.section, found.c.place
        ),
        lambda row: (build_card_task(row[:-2]), row[-2], row[-1]),
    )


DAY_ORDER = (
    Task.status == Status.DONE,
    PRIORITY_RANK.desc(),
    Task.due_at,
    Task.created_at.desc(),
    Task.id,
)
"""Tasks that are done come last, and those of the highest priority first."""
IS_UNDATED: Any = literal_column(f"tasks.due_at is null and tasks.{IS_OPEN}", Boolean)
UNDATED_ORDER = (literal_column(PRIORITY_PLACE, Integer), Task.created_at.desc(), Task.id)
"""The order of open tasks without a due date, in the words of their index."""


def _select_first(
    section: int,
    conditions: Sequence[ColumnElement[bool]],
    condition: ColumnElement[bool],
    order: Sequence[Any] = DAY_ORDER,
) -> Any:
    """Select the ids of the first tasks of a section, their places, and the number of all.

    The number is at most one more than MAX_COUNTED.
    """
    matching = select(Task.id).where(*conditions, condition)
    first = matching.order_by(*order).limit(TASKS_OF_LIST).subquery()
    counted = matching.limit(MAX_COUNTED + 1).subquery()
    total = select(func.count()).select_from(counted).scalar_subquery()
    place = func.row_number().over(order_by=order).label("place")
    shown = select(Task.id, literal(section).label("section"), place, total.label("total"))
    return shown.join(first, first.c.id == Task.id)


def _select_day(
    section: ColumnElement[Any], conditions: Sequence[ColumnElement[bool]], condition: Any
) -> Any:
    """Select the ids of the tasks of a section, their places, and their number."""
    columns = (
        func.row_number().over(partition_by=section, order_by=DAY_ORDER).label("place"),
        func.count().over(partition_by=section).label("total"),
    )
    return select(Task.id, section.label("section"), *columns).where(*conditions, condition)


# The neighbors of a task


@dataclass(frozen=True)
class TaskNeighbors:
    """The tasks around a task, if there are any."""

    previous_id: UUID | None
    next_id: UUID | None


class _TaskNeighborQueries(NamedTuple):
    """The queries about the tasks around the task `task_id`, with certain filters and an order.

    Both also select a row for that task, or none if it does not match the filters.
    """

    around: CombinedQuery  # the nearest task before it, and the nearest one after it
    count_before: CombinedQuery


async def find_neighbors(
    source: Source, board: Board, task: Task, filters: BoardFilters, order: BoardOrder
) -> TaskNeighbors | None:
    """Return the nearest tasks in the column of a task, or else in those before and after it.

    Returns None if the task does not match the filters, or has moved since it was loaded.
    """
    if task.status not in order.statuses:
        return None
    parameters = filters.build_parameters(board)
    queries = await _build_neighbor_queries.get(*filters.shape, order, task.status)
    own, [previous], [following] = await queries.around.fetch(source, task_id=task.id, **parameters)
    return TaskNeighbors(previous, following) if own else None


TASK_STATUS: Query[Status] = Query(
    select(Task.status).where(Task.id == TASK_ID, Task.board_id == BOARD_ID), itemgetter(0)
)


async def count_tasks_before(
    source: Source, board: Board, task_id: UUID, filters: BoardFilters, order: BoardOrder
) -> int | None:
    """Return how many tasks are before a task in its column, or None if it does not match."""
    status = await TASK_STATUS.first(source, board_id=board.id, task_id=task_id)
    if status not in order.statuses:
        return None
    queries = await _build_neighbor_queries.get(*filters.shape, order, status)
    parameters = filters.build_parameters(board)
    own, [count] = await queries.count_before.fetch(source, task_id=task_id, **parameters)
    return count if own else None


@cache_queries(max_shapes=256)
def _build_neighbor_queries(
    active_filters: frozenset[str], word_count: int, order: BoardOrder, status: Status
) -> _TaskNeighborQueries:
    """Build the queries. In the manual order, `around` reads a few rows of an index."""
    conditions = _build_conditions(active_filters, word_count)
    keys = order.list_keys(status)
    own_keys = (
        select(*(key.column.label(f"key_{number}") for number, key in enumerate(keys)))
        .where(Task.id == TASK_ID, Task.status == status, *conditions)
        .cte("own")
    )
    own = Query(select(literal(1, Integer)).select_from(own_keys))
    values = [select(column).scalar_subquery() for column in own_keys.c]
    is_found = select(own_keys.c.key_0).exists()  # else it is compared with missing values
    is_before = and_(is_found, _compare(keys, values, is_after=False))
    is_after = and_(is_found, _compare(keys, values, is_after=True))

    def select_end(status: Status, *more: ColumnElement[bool], takes_last: bool) -> Any:
        found = select(Task.id).where(Task.status == status, *conditions, *more)
        by = [key.sorted(is_reversed=takes_last) for key in order.list_keys(status)]
        return found.order_by(*by).limit(literal(1, Integer)).scalar_subquery()

    def build_query(in_column: Any, others: Iterable[Status], *, takes_last: bool) -> Query[Any]:
        # COALESCE evaluates a column only if those before it have no task.
        ends = [select_end(one, takes_last=takes_last) for one in others]
        return Query(select(case((is_found, func.coalesce(in_column, *ends)))), itemgetter(0))

    count = select(func.count()).select_from(Task)
    column = order.statuses.index(status)
    return _TaskNeighborQueries(
        CombinedQuery(
            own,
            build_query(
                select_end(status, is_before, takes_last=True),
                reversed(order.statuses[:column]),
                takes_last=True,
            ),
            build_query(
                select_end(status, is_after, takes_last=False),
                order.statuses[column + 1 :],
                takes_last=False,
            ),
        ),
        CombinedQuery(
            own, Query(count.where(Task.status == status, *conditions, is_before), itemgetter(0))
        ),
    )


def _compare(
    keys: Sequence[SortKey], values: Sequence[ColumnElement[Any]], *, is_after: bool
) -> ColumnElement[bool]:
    """Match the tasks before or after the position with these values of the keys."""
    pairs = list(zip(keys, values, strict=True))
    alternatives = []
    for number, (key, value) in enumerate(pairs):
        equal = [one.column.is_not_distinct_from(other) for one, other in pairs[:number]]
        alternatives.append(and_(*equal, key.compare(value, is_after=is_after)))
    # The index of the order is used because of the bound, which the alternatives imply.
    bounds = [key.bound(value, is_after=is_after) for key, value in pairs[:1] if key.is_required]
    return and_(*bounds, or_(*alternatives))


# The next task of an agent


def _build_next_task_query() -> Query[ListedTask]:
    is_own = Task.assigned_agent_id == bindparam("agent_id", type_=Uuid())
    is_begun = is_own & (Task.status == Status.IN_PROGRESS)
    is_free = IS_UNASSIGNED & bindparam("may_claim", type_=Boolean())
    is_waiting = (Task.status == Status.INBOX) & or_(is_own, is_free) & ~is_blocked()
    return Query(
        select(*LIST_COLUMNS)
        .where(Task.board_id == BOARD_ID, or_(is_begun, is_waiting))
        .order_by(
            is_begun.desc(),
            Task.assigned_agent_id.is_(None),
            PRIORITY_RANK.desc(),
            Task.due_at.nulls_last(),
            Task.created_at,
            Task.id,
        )
        .limit(literal(1, Integer)),
        lambda row: ListedTask(*row),
    )


NEXT_TASK = _build_next_task_query()


async def find_next_task(source: Source, board: Board, agent: Agent) -> ListedTask | None:
    """Return the task that a worker should work on: begun, assigned, or else one to claim.

    Tasks that wait for others are left out.
    """
    may_claim = not board.only_lead_can_change_status
    return await NEXT_TASK.first(source, board_id=board.id, agent_id=agent.id, may_claim=may_claim)
