"""Load what the page of a task shows around it, in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from core.clock import now
from core.db.reads import CombinedQuery, Source
from models import Agent, Board, Message, Run, Tag, TaskLink
from services import approvals, boards, custom_fields, forges, messages, tags, tasks
from services.approvals import ApprovalDetail
from services.boards import BoardPerson
from services.custom_fields import TaskField
from services.gateways import runs
from services.tasks import Assignee, TaskRef


@dataclass(frozen=True)
class TaskPageData:
    """What the page of a task shows around it, and what its forms offer."""

    open_approvals: Sequence[ApprovalDetail]  # undecided, or can still be undone
    fields: Sequence[TaskField]  # with the values of the task
    links: Sequence[TaskLink]
    watchers: Sequence[BoardPerson]
    runs: Sequence[tuple[Run, Agent]]  # those that run, or else the latest
    messages_without_action: Sequence[tuple[Message, Agent]]
    has_description_versions: bool
    workers: Sequence[Assignee]  # the agent that did the work, if it is not assigned any more
    people: Sequence[BoardPerson] = ()  # who can read the board
    agents: Sequence[Agent] = ()  # to which the task can be assigned
    tags: Sequence[Tag] = ()
    possible_dependencies: Sequence[TaskRef] = ()  # the newest tasks that it may depend on


async def load_task_page_data(
    source: Source, board: Board, task_id: UUID, *, with_options: bool
) -> TaskPageData:
    """Load the data of an existing task; what its forms offer only `with_options`.

    The objects have no session, also in a transaction: they cannot be changed.
    """
    (
        undecided,
        fields,
        links,
        watchers,
        found_runs,
        without_action,
        versions,
        workers,
        *options,
    ) = await _build_query(with_options=with_options).fetch(
        source,
        board_id=board.id,
        organization_id=board.organization_id,
        task_id=task_id,
        since=now() - messages.NO_ACTION_AFTER,
    )
    return TaskPageData(
        undecided,
        fields,
        [link for link in links if link is not None],
        watchers,
        runs.choose_running_or_latest(found_runs),
        without_action,
        bool(versions),
        workers,
        *options,
    )


@cache
def _build_query(*, with_options: bool) -> CombinedQuery:
    options = (
        boards.BOARD_PEOPLE,
        tasks.ASSIGNABLE_AGENTS,
        tags.TAGS,
        tasks.POSSIBLE_DEPENDENCIES,
    )
    return CombinedQuery(
        approvals.OPEN_APPROVALS,
        custom_fields.TASK_FIELDS,
        forges.TASK_LINKS,
        tasks.WATCHERS,
        runs.CURRENT_TASK_RUNS,
        messages.TASK_MESSAGES_WITHOUT_ACTION,
        tasks.HAS_DESCRIPTION_VERSIONS,
        tasks.WORKER,
        *(options if with_options else ()),
    )
