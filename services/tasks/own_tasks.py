"""The tasks of a person on all boards of an organization that this person can read."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import DateTime, bindparam, case, or_

from core.clock import now
from core.db.reads import Query, Source
from models import Board, Member, Status, Task
from services import boards
from services.tasks.board_order import PRIORITY_RANKS
from services.tasks.card_tasks import ALL_CARD_TASKS, CardTask, build_card_task

MAX_OWN_TASKS = 500
DONE_PERIOD = timedelta(days=7)  # in which done tasks are shown


class OwnTask(NamedTuple):
    """A task of a person, and the name of its board."""

    task: CardTask
    board_name: str


DONE_SINCE = bindparam("done_since", type_=DateTime(timezone=True))
OWN_TASKS: Query[OwnTask] = Query(
    ALL_CARD_TASKS.add_columns(Board.name)
    .join(Board, Board.id == Task.board_id)
    .where(
        Task.assigned_user_id == bindparam("user_id"),
        Task.board_id.in_(boards.READABLE_BOARD_IDS),
        or_(Task.status != Status.DONE, Task.done_at >= DONE_SINCE),
    )
    .order_by(
        Task.status == Status.DONE,
        case((Task.status == Status.DONE, Task.done_at)).desc(),
        Task.due_at.nulls_last(),
        case(PRIORITY_RANKS, value=Task.priority, else_=-1).desc(),
        Task.created_at,
        Task.id,
    )
    .limit(MAX_OWN_TASKS),
    lambda row: OwnTask(build_card_task(row[:-1]), row[-1]),
)


async def list_own_tasks(source: Source, member: Member) -> Sequence[OwnTask]:
    """Return the open tasks of a member, by due date, and those done in the last days."""
    return await OWN_TASKS.fetch(
        source, done_since=now() - DONE_PERIOD, **boards.access_parameters(member)
    )
