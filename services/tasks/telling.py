"""Who is told what about a task: the table of the contract (3.10.6), and comments (3.10.8)."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Agent, Board, Comment, EventType, Status
from services import messages
from services.mentions import mentioned, tokens
from services.tasks.wishes import Kind, Wish

Marker = messages.texts.Marker

TOLD = {
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
"""What is recorded once the agent was told, or cannot be."""


def about_creation(wish: Wish) -> Iterator[messages.Draft]:
    """Return what is told of a new task: to the lead, unless it has made it, and to who has it."""
    if wish.kind is Kind.PERSON and wish.lead_id is not None:
        yield _draft(wish, wish.lead_id, Marker.NEW_TASK_ADDED)
    yield from _to_holder(wish, left=None, held_by=None)


def about_change(wish: Wish, *, left: Status, held_by: UUID | None) -> Iterator[messages.Draft]:
    """Return what is told of a change that is made.

    `left` is the status that the task had before, and `held_by` who had it.
    """
    if wish.lead_id is not None and _is_orphaned(wish, left, held_by):
        yield _draft(wish, wish.lead_id, Marker.TASK_BACK_IN_INBOX)
    yield from _to_holder(wish, left=left, held_by=held_by)


async def about_comment(
    session: AsyncSession, actor: Actor, board: Board, comment: Comment
) -> list[messages.Draft]:
    """Return what is told of a comment: to whom it calls; if to nobody, to whoever has the task.

    Whoever has written it is not told.
    """
    task, holder = comment.task, comment.task.assigned_agent_id
    calls = bool(tokens(comment.message))
    if calls:
        crew = await session.scalars(select(Agent).where(Agent.board_id == board.id))
        readers = [agent.id for agent in mentioned(comment.message, crew)]
    else:
        readers = [holder] if holder is not None else []
    return [
        messages.Draft(
            to=reader,
            content=messages.texts.comment(
                board,
                task,
                sender=actor.name if isinstance(actor, Agent) else actor.called,
                message=comment.message,
                mentioned=calls,
                assigned=reader == holder,
            ),
            key=f"comment:{comment.id}",
            board=board,
            task=task,
            sender=actor,
        )
        for reader in readers
        if reader != actor.id
    ]


def _is_orphaned(wish: Wish, left: Status, held_by: UUID | None) -> bool:
    """Say whether the task has come to the inbox, or lost its agent there.

    A lead that takes a task from somebody knows what it does; where nobody is found for one that
    it sends back, it has to be told.
    """
    task = wish.task
    if task.status is not Status.INBOX or task.assigned_agent_id is not None:
        return False
    if wish.kind is Kind.LEAD:
        return left is Status.REVIEW
    return left is not Status.INBOX or held_by is not None


def _to_holder(
    wish: Wish, *, left: Status | None, held_by: UUID | None
) -> Iterator[messages.Draft]:
    holder = wish.task.assigned_agent_id
    marker = _marker(wish, left, held_by)
    if marker and holder is not None and holder != wish.actor.id:
        yield _draft(wish, holder, marker)


def _marker(wish: Wish, left: Status | None, held_by: UUID | None) -> Marker | None:
    """Return what is to be told to whoever has the task, if there is news for them."""
    task = wish.task
    is_new_to_them = task.assigned_agent_id != held_by
    has_moved = task.status is not left
    if wish.kind is Kind.LEAD and left is Status.REVIEW and task.status is Status.INBOX:
        return Marker.CHANGES_REQUESTED
    if task.status is Status.REVIEW and task.assigned_agent_id == wish.lead_id:
        return Marker.TASK_READY_FOR_LEAD_REVIEW if is_new_to_them or has_moved else None
    begins = has_moved and task.status is Status.IN_PROGRESS
    return Marker.TASK_ASSIGNED if is_new_to_them or begins else None


def _draft(wish: Wish, to: UUID, marker: Marker) -> messages.Draft:
    task, (told, failed) = wish.task, TOLD[marker]
    return messages.Draft(
        to=to,
        content=messages.texts.about_task(marker, wish.board, task, feedback=wish.last_word),
        key=f"task:{task.id}:{task.version}:{marker}",
        board=wish.board,
        task=task,
        sender=wish.actor,
        told=told,
        failed=failed,
        data={"title": task.title},
    )
