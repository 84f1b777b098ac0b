"""Acknowledged messages after which the agent has done nothing for its task.

Such a message is shown, and a person may send it again. It is never sent again automatically: its
turn may have done half of the work.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Uuid, and_, bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.reads import Query, Source
from models import (
    Agent,
    Board,
    Event,
    EventType,
    Message,
    MessageState,
    Run,
    RunStatus,
    Status,
    Task,
)
from services.messages.templates import MessageMarker

NO_ACTION_AFTER = timedelta(minutes=5)

KINDS_WITH_WORK = tuple(
    marker.value
    for marker in (
        MessageMarker.TASK_ASSIGNED,
        MessageMarker.CHANGES_REQUESTED,
        MessageMarker.TASK_STALE,
        MessageMarker.APPROVAL_RESOLVED,
        MessageMarker.QUESTION_ANSWERED,
    )
)
"""Messages that tell an agent to work on its task."""

ACTIONS = (
    EventType.TASK_UPDATED,
    EventType.TASK_STATUS_CHANGED,
    EventType.TASK_COMMENT,
    EventType.APPROVAL_REQUESTED,
    EventType.QUESTION_ASKED,
)
"""Events that show that the agent has done something for the task."""

OPEN_STATUSES = (Status.INBOX, Status.IN_PROGRESS)


def no_action_condition(since: Any) -> ColumnElement[bool]:
    """Match messages acknowledged before a time whose agent has the task and has done nothing.

    The query must join Task. Later messages about the task replace earlier ones, and an agent with
    an active run is at work.
    """
    later = aliased(Message)
    has_acted = exists().where(
        Event.task_id == Message.task_id,
        Event.agent_id == Message.agent_id,
        Event.user_id.is_(None),
        Event.type.in_(ACTIONS),
        Event.created_at > Message.created_at,
    )
    is_running = exists().where(Run.agent_id == Message.agent_id, Run.status == RunStatus.RUNNING)
    has_later = exists().where(
        later.agent_id == Message.agent_id,
        later.task_id == Message.task_id,
        later.kind.in_(KINDS_WITH_WORK),
        later.created_at > Message.created_at,
    )
    return and_(
        Message.state == MessageState.ACKNOWLEDGED,
        Message.acknowledged_at < since,
        Message.kind.in_(KINDS_WITH_WORK),
        Task.assigned_agent_id == Message.agent_id,
        Task.status.in_(OPEN_STATUSES),
        ~has_acted.correlate(Message),
        ~is_running.correlate(Message),
        ~has_later.correlate(Message),
    )


_SINCE = bindparam("since", type_=DateTime(timezone=True))
_MESSAGES = (
    select(Message).join(Task, Task.id == Message.task_id).where(no_action_condition(_SINCE))
)
MESSAGES_WITHOUT_ACTION: Query[UUID] = Query(
    _MESSAGES.with_only_columns(Message.id).where(
        Message.agent_id == bindparam("agent_id"),
        Message.id == func.any(bindparam("message_ids", type_=ARRAY(Uuid()))),
    ),
    itemgetter(0),
)
TASK_MESSAGES_WITHOUT_ACTION: Query[tuple[Message, Agent]] = Query(
    _MESSAGES.with_only_columns(Message, Agent)
    .join(Agent, Agent.id == Message.agent_id)
    .where(Task.id == bindparam("task_id"), Task.board_id == bindparam("board_id"))
    .order_by(Message.seq)
)


async def list_without_action(
    source: Source, agent: Agent, found: Collection[Message]
) -> set[UUID]:
    """Return the ids of those messages to an agent that led to no action on their tasks."""
    ids = [one.id for one in found if one.task_id and one.state is MessageState.ACKNOWLEDGED]
    if not ids:
        return set()
    rows = await MESSAGES_WITHOUT_ACTION.fetch(
        source, agent_id=agent.id, message_ids=ids, since=now() - NO_ACTION_AFTER
    )
    return set(rows)


async def list_task_messages_without_action(
    source: Source, board: Board, task_id: UUID
) -> Sequence[tuple[Message, Agent]]:
    """Return the messages about a task that led to no action, with their agents."""
    return await TASK_MESSAGES_WITHOUT_ACTION.fetch(
        source, board_id=board.id, task_id=task_id, since=now() - NO_ACTION_AFTER
    )
