"""Changes of tasks without a database, and the errors that they raise."""

from typing import Any

import pytest

from core.errors import AppError
from models import Status
from services.tasks.change_request import TaskChange
from services.tasks.rules import check_change
from tests.support.world import World, make_world

INBOX, IN_PROGRESS, REVIEW, DONE = Status
BLOCKED = "task_blocked_cannot_transition"


@pytest.fixture
def world() -> World:
    return make_world()


def make_change(
    world: World, actor: Any, old_status: Status = INBOX, /, **facts: Any
) -> TaskChange:
    """Make a change of a task; names that are no attributes of TaskChange are sent values."""
    facts_given = {
        name: facts.pop(name) for name in list(facts) if name in TaskChange.__dataclass_fields__
    }
    task = world.make_task(status=old_status, assigned_agent_id=facts.pop("assignee_id", None))
    return TaskChange(actor=actor, board=world.board, task=task, values=facts, **facts_given)


def error_code(change: TaskChange) -> str | None:
    """Return the code of the error that a change raises, if any."""
    try:
        check_change(change)
    except AppError as error:
        return error.code
    return None


def raised_error(change: TaskChange) -> AppError:
    with pytest.raises(AppError) as caught:
        check_change(change)
    return caught.value
