"""Build the messages to agents about tasks and comments."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Board, Comment, EventType, Status, Task
from services import messages
from services.messages import extract_mentions, list_mentioned_agents
from services.tasks.change_request import ActorRole, TaskChange
from services.tasks.user_notifications import BOARD_AGENTS, TaskState

Marker = messages.templates.MessageMarker

DELIVERY_EVENTS = {
    Marker.NEW_TASK_ADDED: (
        EventType.TASK_LEAD_NOTIFIED,
        EventType.TASK_LEAD_NOTIFY_FAILED,
    ),
    Marker.TASK_BACK_IN_INBOX: (
        EventType.TASK_LEAD_UNASSIGNED_NOTIFIED,
        EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED,
    ),
    Marker.TASK_ASSIGNED: (
        EventType.TASK_ASSIGNEE_NOTIFIED,
        EventType.TASK_ASSIGNEE_NOTIFY_FAILED,
    ),
    Marker.TASK_READY_FOR_LEAD_REVIEW: (
        EventType.TASK_ASSIGNEE_NOTIFIED,
        EventType.TASK_ASSIGNEE_NOTIFY_FAILED,
    ),
    Marker.CHANGES_REQUESTED: (
        EventType.TASK_REWORK_NOTIFIED,
        EventType.TASK_REWORK_NOTIFY_FAILED,
    ),
}
"""The events to record when a message is delivered, and when its delivery has failed."""


def build_creation_messages(change: TaskChange) -> Iterator[messages.OutgoingMessage]:
    """Build the messages about a new task: to the lead if a user created it, and the assignee."""
    if change.role is ActorRole.USER and change.lead_id is not None:
        yield _build_message(change, change.lead_id, Marker.NEW_TASK_ADDED)
    yield from _build_assignee_messages(change, old_status=None, old_assignee_id=None)


def build_change_messages(
    change: TaskChange, before: TaskState
) -> Iterator[messages.OutgoingMessage]:
    """Build the messages about an applied change."""
    old_status, old_assignee_id = before.status, before.assignee_id
    if change.lead_id is not None and _has_lost_assignee(change, old_status, old_assignee_id):
        yield _build_message(change, change.lead_id, Marker.TASK_BACK_IN_INBOX)
    yield from _build_assignee_messages(
        change, old_status=old_status, old_assignee_id=old_assignee_id
    )


async def build_comment_messages(
    session: AsyncSession,
    actor: Actor | None,
    board: Board,
    task: Task,
    comment: Comment,
    *,
    webhook: str = "",
) -> list[messages.OutgoingMessage]:
    """Build the messages about a comment: to the mentioned agents, else to the assignee.

    The author is not notified.
    """
    actor_id, sender = (actor.id, actor.display_name) if actor else (None, webhook)
    assignee_id = task.assigned_agent_id
    has_mentions = bool(extract_mentions(comment.message))
    if has_mentions:
        agents = await BOARD_AGENTS.fetch(session, board_id=board.id)
        recipients = [agent.id for agent in list_mentioned_agents(comment.message, agents)]
    else:
        recipients = [assignee_id] if assignee_id is not None else []
    return [
        messages.OutgoingMessage(
            to=recipient_id,
            content=messages.templates.render_comment(
                board,
                task,
                sender=sender,
                message=comment.message,
                mentioned=has_mentions,
                assigned=recipient_id == assignee_id,
            ),
            key=f"comment:{comment.id}",
            board=board,
            task=task,
            sender=actor,
        )
        for recipient_id in recipients
        if recipient_id != actor_id
    ]


def _has_lost_assignee(
    change: TaskChange, old_status: Status, old_assignee_id: UUID | None
) -> bool:
    """Say whether the lead must be notified that the task is in the inbox without an assignee.

    A lead that unassigns a task itself is not notified, but it is if it rejects a task in review
    for which no previous worker is found.
    """
    task = change.task
    is_assigned = task.assigned_agent_id is not None or task.assigned_user_id is not None
    if task.status is not Status.INBOX or is_assigned:
        return False
    if change.role is ActorRole.LEAD:
        return old_status is Status.REVIEW
    return old_status is not Status.INBOX or old_assignee_id is not None


def _build_assignee_messages(
    change: TaskChange, *, old_status: Status | None, old_assignee_id: UUID | None
) -> Iterator[messages.OutgoingMessage]:
    """Build the message to the agent with a task; if a person brings it to review, to the lead."""
    task, lead_id = change.task, change.lead_id
    if task.assigned_agent_id is not None:
        marker = _choose_assignee_marker(change, old_status, old_assignee_id)
        if marker and task.assigned_agent_id != change.actor_id:
            yield _build_message(change, task.assigned_agent_id, marker)
        return
    entered = task.status is Status.REVIEW and old_status is not Status.REVIEW
    is_for_lead = task.assigned_user_id is not None and lead_id not in (None, change.actor_id)
    if entered and is_for_lead and lead_id is not None:
        yield _build_message(change, lead_id, Marker.TASK_READY_FOR_LEAD_REVIEW)


def _choose_assignee_marker(
    change: TaskChange, old_status: Status | None, old_assignee_id: UUID | None
) -> Marker | None:
    """Return the kind of message that the assignee gets, or None if nothing changed for it."""
    task = change.task
    is_new_assignee = task.assigned_agent_id != old_assignee_id
    has_moved = task.status is not old_status
    if (
        change.role is ActorRole.LEAD
        and old_status is Status.REVIEW
        and task.status is Status.INBOX
    ):
        return Marker.CHANGES_REQUESTED
    if task.status is Status.REVIEW and task.assigned_agent_id == change.lead_id:
        return Marker.TASK_READY_FOR_LEAD_REVIEW if is_new_assignee or has_moved else None
    starts = has_moved and task.status is Status.IN_PROGRESS
    return Marker.TASK_ASSIGNED if is_new_assignee or starts else None


def _build_message(change: TaskChange, to: UUID, marker: Marker) -> messages.OutgoingMessage:
    task, (on_delivered, on_failed) = change.task, DELIVERY_EVENTS[marker]
    return messages.OutgoingMessage(
        to=to,
        content=messages.templates.render_task(
            marker, change.board, task, feedback=change.lead_feedback
        ),
        key=f"task:{task.id}:{task.version}:{marker}",
        board=change.board,
        task=task,
        sender=change.actor,
        on_delivered=on_delivered,
        on_failed=on_failed,
        event_data={"title": task.title},
    )
