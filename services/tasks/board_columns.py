"""The columns of a board page: the tasks as their cards show them, filtered and sorted."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    String,
    Uuid,
    bindparam,
    func,
    literal,
    or_,
    select,
    union_all,
)

from core.db.reads import Query, Source
from core.text import escape_pattern
from models import (
    Approval,
    Board,
    BoardCounts,
    Status,
    Tag,
    TagAssignment,
    Task,
)
from services import boards, counters, custom_fields, policies
from services.tasks.board_order import BoardOrder, is_blocked
from services.tasks.queries import (
    BOARD_ID,
    CARD_TASKS,
    IS_UNASSIGNED,
    WORKER_ID,
    CardTask,
    approval_ids_query,
    build_card_task,
)

CARDS_IN_COLUMN = 50
MAX_SECTION_SIZE = 1_000_000  # cards, above all numbers of cards of a section
MAX_COLUMN_QUERIES = 128  # built queries, by the filters, the number of words and the order


@dataclass(frozen=True, kw_only=True)
class BoardFilters:
    """The filters of a board page; a card must match all of them."""

    q: str = ""  # words in the title or the description
    assignee: UUID | None = None  # an agent or a person
    unassigned: bool = False
    tag: str | None = None  # its slug
    priority: str | None = None
    approver: UUID | None = None  # only tasks with approvals that wait for this user
    blocked: bool = False  # only tasks with open dependencies
    custom_field: tuple[str, str] | None = None  # its key, and the value or a part of it

    @property
    def active_names(self) -> frozenset[str]:
        """The names of the filters that are set."""
        return frozenset(name for name, value in vars(self).items() if value)

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter is set."""
        return bool(self.active_names)


@dataclass(frozen=True)
class BoardColumn:
    """The first cards of one status in the order of the board.

    `total` counts all cards that match the filters.
    """

    status: Status
    cards: Sequence[CardTask]
    total: int


class ColumnQueries(NamedTuple):
    """The queries of a board with certain filters and an order."""

    cards: Query[CardTask]
    totals: Query[tuple[Status, int]]


async def list_board_columns(
    source: Source,
    board: Board,
    filters: BoardFilters | None = None,
    order: BoardOrder | None = None,
    *,
    limit: int = CARDS_IN_COLUMN,
) -> list[BoardColumn]:
    """Return the columns of a board, each with its first cards, from left to right."""
    filters = filters or BoardFilters()
    queries, parameters = _prepare_queries(board, filters, order or BoardOrder())
    cards = await queries.cards.fetch(source, column_limit=limit, **parameters)
    shown = {status: [one for one in cards if one.status is status] for status in Status}
    totals = {status: len(of_status) for status, of_status in shown.items()}
    if any(total >= limit for total in totals.values()):
        totals = dict(await queries.totals.fetch(source, **parameters))
    return [BoardColumn(status, shown[status], totals.get(status, 0)) for status in Status]


def _prepare_queries(
    board: Board, filters: BoardFilters, order: BoardOrder
) -> tuple[ColumnQueries, dict[str, object]]:
    shape, parameters = prepare_conditions(board, filters)
    return _build_queries(*shape, order), parameters


def prepare_conditions(
    board: Board, filters: BoardFilters
) -> tuple[tuple[frozenset[str], int], dict[str, object]]:
    """Return the arguments of `build_filter_conditions`, and the parameters of its conditions."""
    shape = filters.active_names - {"q"}, len(split_words(filters))
    return shape, build_filter_parameters(board, filters)


def build_filter_parameters(board: Board, filters: BoardFilters) -> dict[str, object]:
    """Return the parameters of the conditions that `build_filter_conditions` builds."""
    return {
        "board_id": board.id,
        "assignee_id": filters.assignee,
        "user_id": filters.approver,
        "tag": _without_unstorable(filters.tag or ""),
        "priority": _without_unstorable(filters.priority or ""),
        **custom_fields.build_filter_parameters(*(filters.custom_field or ("", ""))),
        **{
            f"word_{number}": escape_pattern(word)
            for number, word in enumerate(split_words(filters))
        },
    }


def split_words(filters: BoardFilters) -> list[str]:
    """Return the words that a task has to contain."""
    return _without_unstorable(filters.q).split()


def build_filter_conditions(
    active_filters: frozenset[str], word_count: int
) -> list[ColumnElement[bool]]:
    """Build the conditions for the tasks of the board `board_id` that match certain filters."""
    optional_conditions = {
        "assignee": _is_assigned,
        "unassigned": lambda: IS_UNASSIGNED,
        "tag": _has_tag,
        "priority": lambda: Task.priority == bindparam("priority"),
        "approver": _has_approval_for_user,
        "blocked": is_blocked,
        "custom_field": custom_fields.value_filter,
    }
    return [
        Task.board_id == BOARD_ID,
        *(_contains_word(f"word_{number}") for number in range(word_count)),
        *(build() for name, build in optional_conditions.items() if name in active_filters),
    ]


@lru_cache(MAX_COLUMN_QUERIES)
def _build_queries(
    active_filters: frozenset[str], word_count: int, order: BoardOrder
) -> ColumnQueries:
    conditions = build_filter_conditions(active_filters, word_count)
    totals = COUNTED_TOTALS
    if active_filters or word_count:
        totals = Query(select(Task.status, func.count()).where(*conditions).group_by(Task.status))
    return ColumnQueries(
        Query(_select_cards(conditions, order), build_card_task),
        totals,
    )


def _select_cards(conditions: Sequence[ColumnElement[bool]], order: BoardOrder) -> Any:
    """Select the first cards of each column."""
    limit: Any = bindparam("column_limit", type_=Integer)
    columns = []
    for status in Status:
        sections = [
            _select_section(Task.status == status, conditions, order, section, number)
            .limit(limit)
            .subquery()
            .select()
            for number, section in enumerate(order.list_sections(status))
        ]
        first = union_all(*sections).subquery()
        columns.append(first.select().order_by(first.c.place).limit(limit).subquery().select())
    shown = union_all(*columns).subquery("shown")
    return CARD_TASKS.join(shown, shown.c.id == Task.id).order_by(shown.c.place)


def _select_section(
    in_column: ColumnElement[bool],
    conditions: Sequence[ColumnElement[bool]],
    order: BoardOrder,
    in_section: ColumnElement[bool],
    number: int,
) -> Any:
    """Select the tasks of a section with their places; each section is read in its own order."""
    keys = order.within_section()
    place = func.row_number().over(order_by=keys) + number * MAX_SECTION_SIZE
    query = select(Task.id, place.label("place")).where(in_column, in_section, *conditions)
    return query.order_by(*keys)


OF_BOARD = BoardCounts.board_id == BOARD_ID
COUNTED_TOTALS: Query[tuple[Status, int]] = Query(
    union_all(
        *(
            select(literal(status, Task.status.type), counter).where(OF_BOARD)
            for status, counter in counters.TASK_COUNTS.items()
        )
    )
    .subquery()
    .select()
)


def _without_unstorable(text: str) -> str:
    """Remove the characters that PostgreSQL rejects in a comparison."""
    return text.replace("\0", " ").encode(errors="ignore").decode()


def _contains_word(name: str) -> ColumnElement[bool]:
    word = bindparam(name, type_=String)
    return or_(Task.title.icontains(word, escape="/"), Task.description.icontains(word, escape="/"))


def _is_assigned() -> ColumnElement[bool]:
    assignee_id = bindparam("assignee_id", type_=Uuid())
    return (assignee_id == WORKER_ID) | (Task.assigned_user_id == assignee_id)


def _has_tag() -> ColumnElement[bool]:
    query = select(TagAssignment.id).join(Tag, Tag.id == TagAssignment.tag_id)
    return query.where(TagAssignment.task_id == Task.id, Tag.slug == bindparam("tag")).exists()


def _has_approval_for_user() -> ColumnElement[bool]:
    """Match tasks with an approval that waits for the user `user_id`, who may change the board."""
    query = select(Approval.id).where(
        Approval.board_id == Task.board_id,
        policies.IS_UNDECIDED,
        Approval.id.in_(approval_ids_query()),
        ~policies.needs_other_approver(),
    )
    return BOARD_ID.in_(boards.WRITABLE_BOARD_IDS) & query.correlate(Task).exists()


BLOCKED_COUNT: Query[int] = Query(
    select(func.count()).select_from(Task).where(Task.board_id == BOARD_ID, is_blocked()),
    lambda row: row[0],
)
"""Counts the blocked tasks of a board."""
