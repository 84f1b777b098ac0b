"""Load what the filters of a board page offer, in one statement.

An open onboarding needs a second one.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from core.db.reads import CombinedQuery, Source
from models import Board, Tag, User
from services import (
    boards,
    custom_fields,
    saved_views,
    tags,
    tasks,
    waiting_counts,
)
from services.boards import BoardPerson
from services.custom_fields import TaskField
from services.saved_views import ListedView
from services.waiting_counts import WaitingCounts

OPTION_QUERIES = 5  # of what a user can choose


class FilterOptions(NamedTuple):
    """The tags, custom fields and people that tasks of a board can have, and its views."""

    tags: Sequence[Tag]
    fields: Sequence[TaskField]  # without the values of a task
    views: Sequence[ListedView]  # of one user
    people: Sequence[BoardPerson]  # who can read the board
    blocked_count: int  # tasks, also those that a filter excludes
    waiting_count: int  # items of the board that wait for the user: see services/waiting_counts.py


async def load_filter_options(
    source: Source, user: User, board: Board, *, counts: WaitingCounts | None = None
) -> FilterOptions:
    """Load what a user can choose on a board that the user can read.

    The objects have no session, also in a transaction: they cannot be changed. `counts` are those
    of the user, if they are loaded already.
    """
    parameters: dict[str, object] = {
        "organization_id": board.organization_id,
        "board_id": board.id,
        "user_id": user.id,
        "task_id": None,
    }
    found = await _build_query(with_counts=counts is None).fetch(source, **parameters)
    *options, [blocked] = found[:OPTION_QUERIES]
    waiting = counts or await waiting_counts.build_waiting_counts(source, found[OPTION_QUERIES:])
    return FilterOptions(*options, blocked, waiting.count([board.id]))


@cache
def _build_query(*, with_counts: bool) -> CombinedQuery:
    counts = waiting_counts.list_count_queries(is_admin=False, by_board=True)
    return CombinedQuery(
        tags.TAGS,
        custom_fields.TASK_FIELDS,
        saved_views.BOARD_VIEWS,
        boards.BOARD_PEOPLE,
        tasks.BLOCKED_COUNT,
        *(counts if with_counts else []),
    )
