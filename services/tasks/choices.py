"""Read the choices of task forms: the agents and the dependencies that a task may have."""

from collections.abc import Sequence
from operator import itemgetter

from sqlalchemy import (
    func,
    select,
)

from core.db.reads import Query, Source
from models import (
    Agent,
    Board,
    Task,
)
from services import desired_state
from services.tasks import dependencies
from services.tasks.details import (
    BOARD_ID,
    TaskRef,
)

MAX_CHOICES = 200  # tasks in the list of possible dependencies


ASSIGNABLE_AGENTS: Query[Agent] = Query(
    select(Agent)
    .where(
        Agent.board_id == BOARD_ID,
        Agent.is_board_lead.is_(False),
        desired_state.IS_NOT_BEING_REMOVED,
    )
    .order_by(func.lower(Agent.name), Agent.id),
    itemgetter(0),
)


async def list_assignable_agents(source: Source, board: Board) -> Sequence[Agent]:
    """Return the workers of a board that are not being removed, by name."""
    return await ASSIGNABLE_AGENTS.fetch(source, board_id=board.id)


DEPENDENCY_CHOICES = Query(
    select(Task.id, Task.title, Task.status)
    .where(Task.board_id == BOARD_ID, Task.id.not_in(select(dependencies.DEPENDENTS.c.id)))
    .order_by(Task.created_at.desc(), Task.id)
    .limit(MAX_CHOICES),
    TaskRef._make,
)
"""Selects the newest tasks of the board that a task may depend on without a cycle."""
