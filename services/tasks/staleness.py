"""Find tasks in progress on which nothing happens, wake their agents, and notify people.

A task is stale after the time that its board allows without activity. Its agent gets one message;
if nothing happens for a second period, people are notified. Activity ends it. A task that waits for
people is not stale: because of a pending approval, also of a tool call, or an open question, or
because its agent is held.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    SQLColumnExpression,
    Uuid,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from models import (
    Agent,
    AgentQuestion,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    CodingSession,
    Event,
    EventType,
    NotificationKind,
    Organization,
    Status,
    Task,
    ToolCall,
)
from services import messages, notifications
from services.notifications import Audience, NewNotification
from services.tasks.storage import TaskEvent, publish_events

TASK_ACTIVITY = (
    EventType.TASK_CREATED,
    EventType.TASK_UPDATED,
    EventType.TASK_STATUS_CHANGED,
    EventType.TASK_COMMENT,
    EventType.TASK_RESTORED,
    EventType.APPROVAL_REQUESTED,
    EventType.QUESTION_ASKED,
    EventType.QUESTION_ANSWERED,
    EventType.RUN_STARTED,
    EventType.RUN_CHANGED,
    EventType.RUN_ENDED,
)
"""Events that show that somebody works on a task. Messages to its agent do not."""

_AT = bindparam("at", type_=DateTime(timezone=True))
_ALLOWED = func.make_interval(0, 0, 0, 0, 0, Board.stale_after_minutes)
_NOTICE_DELAY = func.make_interval(0, 0, 0, 0, 0, func.least(Board.stale_after_minutes, 60))
"""Between the message to the agent and the notification of people: an hour at most."""


_IS_APPROVAL_OF_TASK = and_(
    Approval.board_id == Task.board_id,
    or_(
        Approval.task_id == Task.id,
        exists()
        .where(ApprovalTask.approval_id == Approval.id, ApprovalTask.task_id == Task.id)
        .correlate(Approval, Task),
        exists()
        .where(
            ToolCall.approval_id == Approval.id,
            ToolCall.session_id == CodingSession.id,
            CodingSession.task_id == Task.id,
        )
        .correlate(Approval, Task),
    ),
)

_ACTIVITY: Sequence[tuple[SQLColumnExpression[Any], ColumnElement[bool]]] = (
    (Event.created_at, and_(Event.task_id == Task.id, Event.type.in_(TASK_ACTIVITY))),
    (
        Event.created_at,
        and_(Event.board_id == Task.board_id, Event.type == EventType.BOARD_RESUMED),
    ),
    (
        Event.created_at,
        and_(
            Event.organization_id == Board.organization_id,
            Event.type == EventType.ORGANIZATION_RESUMED,
        ),
    ),
    (func.coalesce(Approval.decided_at, Approval.resolved_at), _IS_APPROVAL_OF_TASK),
    (CodingSession.last_signal_at, CodingSession.task_id == Task.id),
    (Agent.released_at, Agent.id == Task.assigned_agent_id),
)
"""What counts as activity of a task besides its own change: the time, and which rows.

The time for work begins again when agents may go on.
"""


def _has_activity_after(moment: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    found = [
        exists().where(of_task, at > moment).correlate(Task, Board) for at, of_task in _ACTIVITY
    ]
    return or_(Task.updated_at > moment, *found)


_LAST_ACTIVITY: ColumnElement[datetime] = func.greatest(
    Task.updated_at,
    *(
        select(func.max(at)).where(of_task).correlate(Task, Board).scalar_subquery()
        for at, of_task in _ACTIVITY
    ),
)

_WAITS_FOR_PEOPLE = or_(
    exists()
    .where(
        _IS_APPROVAL_OF_TASK,
        Approval.status == ApprovalStatus.PENDING,
        or_(Approval.expires_at.is_(None), Approval.expires_at > _AT),
    )
    .correlate(Task),
    exists()
    .where(AgentQuestion.task_id == Task.id, AgentQuestion.answered_at.is_(None))
    .correlate(Task),
    exists().where(Agent.id == Task.assigned_agent_id, Agent.held_at.is_not(None)).correlate(Task),
)

_MAY_WORK = and_(
    Task.status == Status.IN_PROGRESS,
    Board.stale_after_minutes.is_not(None),
    Board.paused_at.is_(None),
    Organization.stopped_at.is_(None),
    ~_WAITS_FOR_PEOPLE,
)
_IS_STALE = and_(
    _MAY_WORK,
    Task.stale_since.is_(None),
    Task.updated_at <= _AT - _ALLOWED,
    ~_has_activity_after(_AT - _ALLOWED),
)
_IS_ACTIVE = and_(
    Task.stale_since.is_not(None),
    or_(~_MAY_WORK, _has_activity_after(Task.stale_since)),
)
_NEEDS_NOTICE = and_(
    _MAY_WORK,
    Task.stale_since <= _AT - _NOTICE_DELAY,
    Task.stale_notified_at.is_(None),
    ~_has_activity_after(Task.stale_since),
)

_TASKS = (
    select(Task, _IS_STALE, _IS_ACTIVE, _LAST_ACTIVITY)
    .join(Board, Board.id == Task.board_id)
    .join(Organization, Organization.id == Board.organization_id)
    .where(or_(_IS_STALE, _IS_ACTIVE, _NEEDS_NOTICE))
)

BOARDS_TO_FOLLOW_UP: Query[UUID] = Query(
    _TASKS.with_only_columns(Task.board_id).distinct(), itemgetter(0)
)


class InactiveTask(NamedTuple):
    """A task to follow up."""

    task: Task
    is_stale: bool  # since now
    is_active: bool  # again
    last_activity: datetime


TASKS_TO_FOLLOW_UP: Query[InactiveTask] = Query(
    _TASKS.where(Task.board_id == bindparam("board_id", type_=Uuid()))
    .order_by(Task.id)
    .execution_options(populate_existing=True),
    InactiveTask._make,
)

LOCKED_BOARD: Query[Board] = Query(
    select(Board)
    .where(Board.id == bindparam("board_id"))
    .with_for_update(key_share=True, skip_locked=True)
    .execution_options(populate_existing=True),
    itemgetter(0),
)


async def list_boards_to_follow_up(source: Source) -> Sequence[UUID]:
    """Return the boards with tasks that have become stale or active, or need a notification."""
    return await BOARDS_TO_FOLLOW_UP.fetch(source, at=now())


async def follow_up_tasks(session: AsyncSession, board_id: UUID) -> int:
    """Follow up the tasks of a board, and count them. A board that is locked is left out."""
    board = await LOCKED_BOARD.first(session, board_id=board_id)
    if board is None:
        return 0
    at = now()
    found = await TASKS_TO_FOLLOW_UP.fetch(session, board_id=board_id, at=at)
    if not found:
        return 0
    ended: list[str] = []
    task_events: list[TaskEvent] = []
    outgoing: list[messages.OutgoingMessage] = []
    notices: list[NewNotification] = []
    for task, is_stale, is_active, last_activity in found:
        if is_active:
            task.stale_since = task.stale_notified_at = None
            ended.append(str(task.id))
            task_events.append(TaskEvent(EventType.TASK_ACTIVE, task))
            continue
        if is_stale:
            task.stale_since = at
            minutes = {"minutes": board.stale_after_minutes}
            task_events.append(TaskEvent(EventType.TASK_STALE, task, minutes))
            if task.assigned_agent_id is not None:
                outgoing.append(_build_message(board, task, task.assigned_agent_id, at))
        if not is_stale or task.assigned_agent_id is None:
            task.stale_notified_at = at
            notices.append(_build_notice(board, task, last_activity, at))
    await session.flush()
    await notifications.notify(session, notices)
    if ended:
        await notifications.resolve(session, [NotificationKind.TASK_STALE], ended)
    if task_events:
        await publish_events(session, None, board, task_events, outgoing=outgoing)
    return len(found)


def _build_message(
    board: Board, task: Task, agent_id: UUID, at: datetime
) -> messages.OutgoingMessage:
    content = messages.templates.render_task(
        messages.templates.MessageMarker.TASK_STALE, board, task
    )
    key = f"stale:{task.id}:{at.isoformat()}"
    return messages.OutgoingMessage(to=agent_id, content=content, key=key, board=board, task=task)


def _build_notice(
    board: Board, task: Task, last_activity: datetime, at: datetime
) -> NewNotification:
    """Build the notification of the person with the task, or else of those who can change it."""
    person = task.assigned_user_id
    return NewNotification(
        NotificationKind.TASK_STALE,
        board.organization_id,
        str(task.id),
        audience=Audience.USERS if person else Audience.WRITERS,
        user_ids=[person] if person else [],
        board=board,
        task=task,
        agent=task.assigned_agent_id,
        data={"title": task.title, "minutes": (at - last_activity) // timedelta(minutes=1)},
        merges=True,
    )
