"""Making tasks, and changing them."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.versions import Known, check_version
from models import Actor, Agent, Board, EventType, Status, Task, User, new_id
from services import custom_fields
from services.tasks import dependencies, tagging
from services.tasks.comments import say
from services.tasks.details import TaskDetail, detail
from services.tasks.looking import look, look_ahead
from services.tasks.news import News, announce
from services.tasks.outcomes import apply, outcome
from services.tasks.rules import check_change, check_creation, check_may_create_and_delete
from services.tasks.setbacks import sent_back
from services.tasks.telling import about_change, about_comment, about_creation
from services.tasks.values import TaskDraft, checked
from services.tasks.wishes import Wish


async def create(session: AsyncSession, actor: Actor, board: Board, draft: TaskDraft) -> TaskDetail:
    """Make a task on a board that is held. People and the board's lead may.

    Raises NotFound, Forbidden, Conflict or Invalid, as values.py and rules.py say.
    """
    check_may_create_and_delete(actor, board)
    at = now()
    task = _nothing_yet(actor, board, at)
    wish = await look_ahead(session, actor, board, task, checked(draft.fields()))
    check_creation(wish)
    apply(task, outcome(wish, at), at)
    session.add(task)
    await session.flush()
    await dependencies.add(session, task, wish.changes["depends_on_task_ids"])
    await tagging.add(session, task, wish.changes["tag_ids"])
    await custom_fields.begin(session, task, wish.fields, wish.changes["custom_field_values"])
    news = [News(EventType.TASK_CREATED, task, _first(task))]
    await announce(session, actor, board, news, drafts=[*about_creation(wish)])
    return await detail(session, board, task.id)


async def change(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    task_id: UUID,
    changes: Mapping[str, object],
    *,
    known: Known = None,
) -> TaskDetail:
    """Change a task on a board that is held, as far as the rules let this actor.

    Only the keys count that are there, and that the contract's TaskUpdate has. A change of nothing
    is written down too. Raises NotFound, Forbidden, Conflict or Invalid, as values.py and rules.py
    say, and PreconditionFailed if the task is of no version that is known.
    """
    wish = await look(session, actor, board, task_id, checked(changes))
    check_change(wish)
    check_version(known, wish.task.version)
    at = now()
    task, left, entered = wish.task, wish.task.status, wish.to
    held_by = task.assigned_agent_id
    crossed = (left is Status.DONE) != (entered is Status.DONE)
    waiting = await dependencies.dependents(session, task) if crossed else []
    told = apply(task, outcome(wish, at), at) | await _relate(session, wish)
    drafts = [*about_change(wish, left=left, held_by=held_by)]
    news = [_changed(task, left, entered, told)]
    news += [_passed_on(task, other, at) for other in waiting]
    if "comment" in wish.changes:
        said = say(session, actor, task, wish.changes["comment"], at)
        news.insert(0, News(EventType.TASK_COMMENT, task, id=said.id))
        drafts += await about_comment(session, actor, board, said)
    await announce(session, actor, board, news, drafts=drafts)
    return await detail(session, board, task.id)


def _nothing_yet(actor: Actor, board: Board, at: datetime) -> Task:
    by_agent = isinstance(actor, Agent)
    return Task(
        id=new_id(),
        board_id=board.id,
        status=Status.INBOX,
        created_by_user_id=actor.id if isinstance(actor, User) else None,
        auto_created=by_agent,
        auto_reason=f"lead_agent:{actor.id}" if by_agent else None,
        version=0,
        created_at=at,
    )


def _first(task: Task) -> dict[str, object]:
    assignee = task.assigned_agent_id
    return {
        "entered": task.status.value,
        "assigned_agent_id": str(assignee) if assignee else None,
    }


async def _relate(session: AsyncSession, wish: Wish) -> dict[str, object]:
    """Keep the dependencies, tags and custom values that were sent, and tell what changed."""
    told: dict[str, object] = {}
    for name, before, store in [
        ("depends_on_task_ids", wish.depends_on, dependencies.replace),
        ("tag_ids", wish.tagged, tagging.replace),
    ]:
        after = wish.changes.get(name)
        if after is not None and after != before:
            await store(session, wish.task, after)
            told[name] = [[str(id) for id in before], [str(id) for id in after]]
    given = wish.changes.get("custom_field_values", {})
    await custom_fields.keep(session, wish.task, wish.fields, given)
    moved = custom_fields.changes_of(wish.fields, given)
    return told | {f"custom_field_values.{key}": values for key, values in moved.items()}


def _changed(task: Task, left: Status, entered: Status, told: dict[str, object]) -> News:
    if left is entered:
        return News(EventType.TASK_UPDATED, task, {"changes": told})
    moved = {"left": left.value, "entered": entered.value, "changes": told}
    return News(EventType.TASK_STATUS_CHANGED, task, moved)


def _passed_on(task: Task, waiting: Task, at: datetime) -> News:
    """Let a task follow that waits for one which has just been done, or has been taken up again."""
    if task.status is Status.DONE:
        return News(EventType.TASK_UPDATED, waiting, {"completed_task_id": str(task.id)})
    because = {"reopened_task_id": str(task.id)}
    is_in_inbox = waiting.status is Status.INBOX
    if is_in_inbox and not waiting.assigned_agent_id and not waiting.in_progress_at:
        return News(EventType.TASK_UPDATED, waiting, because)
    return sent_back(waiting, because, at)
