"""Load a task, and what the pages of a board and of a task show with it, in one statement each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from uuid import UUID

from core.clock import now
from core.db.reads import CombinedQuery, Source
from models import Agent, Board, Message, Run, TaskLink, User
from services import (
    approvals,
    custom_fields,
    forges,
    messages,
    presence,
    saved_views,
    tasks,
    waiting_counts,
)
from services.approvals import ApprovalDetail
from services.boards import BoardPerson
from services.custom_fields import TaskField
from services.gateways import runs
from services.presence import BoardViewer, ReadPosition
from services.saved_views import ListedView
from services.tasks import Assignee, TaskDetail
from services.waiting_counts import WaitingCounts


@dataclass(frozen=True)
class TaskPageData:
    """What the page of a task shows beside its conversation, and what its forms offer."""

    detail: TaskDetail
    open_approvals: Sequence[ApprovalDetail]  # undecided, or can still be undone
    fields: Sequence[TaskField]  # with the values of the task
    links: Sequence[TaskLink]
    watchers: Sequence[BoardPerson]
    runs: Sequence[tuple[Run, Agent]]  # those that run, or else the latest
    messages_without_action: Sequence[tuple[Message, Agent]]
    has_description_versions: bool
    workers: Sequence[Assignee]  # the agent that did the work, if it is not assigned any more
    viewers: Sequence[BoardViewer]  # of the board, in the order of their arrival
    read_position: ReadPosition  # of the user in the comments


def compile_statements() -> None:
    """Compile the statement of the page of a task; call this in a thread.

    It takes too long for the first request of a process.
    """
    _PAGE_DATA.compile()


async def load_task_page_data(
    source: Source, user: User, board: Board, task_id: UUID
) -> TaskPageData:
    """Load the data of a task of this board. Raises NotFound.

    The objects have no session, also in a transaction: they cannot be changed.
    """
    at = now()
    (
        details,
        undecided,
        fields,
        links,
        watchers,
        found_runs,
        without_action,
        versions,
        workers,
        viewers,
        *position,
    ) = await _PAGE_DATA.fetch(
        source,
        user_id=user.id,
        board_id=board.id,
        organization_id=board.organization_id,
        task_id=task_id,
        since=at - messages.NO_ACTION_AFTER,
        absent_since=at - presence.ABSENT_AFTER,
    )
    if not details:
        raise tasks.task_not_found()
    return TaskPageData(
        details[0],
        undecided,
        fields,
        [link for link in links if link is not None],
        watchers,
        runs.choose_running_or_latest(found_runs),
        without_action,
        bool(versions),
        workers,
        viewers,
        presence.build_read_position(*position),
    )


_PAGE_DATA = CombinedQuery(
    tasks.TASK_DETAIL,
    approvals.OPEN_APPROVALS,
    custom_fields.TASK_FIELDS,
    forges.TASK_LINKS,
    tasks.WATCHERS,
    runs.CURRENT_TASK_RUNS,
    messages.TASK_MESSAGES_WITHOUT_ACTION,
    tasks.HAS_DESCRIPTION_VERSIONS,
    tasks.WORKER,
    presence.VIEWERS,
    *presence.list_read_position_queries(of_task=True),
)


OPTION_QUERIES = 3  # of what a user can choose


class FilterOptions(NamedTuple):
    """The custom fields of tasks of a board, its views, and counts."""

    fields: Sequence[TaskField]  # without the values of a task
    views: Sequence[ListedView]  # of one user
    blocked_count: int  # at most MAX_BLOCKED_COUNT, also of tasks that a filter excludes
    waiting_count: int  # items of the board that wait for the user: see services/waiting_counts.py


async def load_filter_options(
    source: Source, user: User, board: Board, *, counts: WaitingCounts | None = None
) -> FilterOptions:
    """Load what a user can choose on a board that the user can read.

    An open onboarding needs a second statement. The objects have no session, also in a
    transaction: they cannot be changed. `counts` are those of the user, if they are loaded already.
    """
    parameters: dict[str, object] = {
        "organization_id": board.organization_id,
        "board_id": board.id,
        "user_id": user.id,
        "task_id": None,
    }
    found = await _build_options_query(with_counts=counts is None).fetch(source, **parameters)
    *options, [blocked] = found[:OPTION_QUERIES]
    waiting = counts or await waiting_counts.build_waiting_counts(source, found[OPTION_QUERIES:])
    return FilterOptions(*options, blocked, waiting.count([board.id]))


@cache
def _build_options_query(*, with_counts: bool) -> CombinedQuery:
    counts = waiting_counts.list_count_queries(is_admin=False, by_board=True)
    return CombinedQuery(
        custom_fields.TASK_FIELDS,
        saved_views.BOARD_VIEWS,
        tasks.BLOCKED_COUNT,
        *(counts if with_counts else []),
    )
