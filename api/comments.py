"""Comments on tasks, as JSON (contract, people-and-boards 3.10.8)."""

from uuid import UUID

from api.fields import Answer, Body, Moment, Paged, Words
from api.operations import Call
from kit.paging import Page
from models import Board
from services import tasks


class TaskCommentRead(Answer):
    """What somebody said about a task."""

    id: UUID
    message: str
    agent_id: UUID | None
    task_id: UUID
    created_at: Moment
    user_id: UUID | None
    author_name: str | None

    @classmethod
    def of(cls, detail: tasks.CommentDetail) -> "TaskCommentRead":
        """Make one of what the services know of a comment."""
        said = detail.comment
        return cls(
            id=said.id,
            message=said.message,
            agent_id=said.agent_id,
            task_id=said.task_id,
            created_at=said.created_at,
            user_id=said.user_id,
            author_name=detail.author_name,
        )


class TaskCommentCreate(Body):
    """Something to say about a task; `@name` calls an agent of the board, `@lead` its lead."""

    example = {"message": "Half of it is written. @lead, who decides about the title?"}

    message: Words


async def list_task_comments(
    call: Call, board: Board, task_id: UUID, query: Paged
) -> Page[TaskCommentRead]:
    """List what was said about a task, oldest first."""
    found = await tasks.comments(call.session, board, task_id, query.paging)
    return found.map(TaskCommentRead.of)


async def create_task_comment(
    call: Call, board: Board, task_id: UUID, body: TaskCommentCreate
) -> TaskCommentRead:
    """Say something about a task.

    A lead may where it is asked: in review, where it was mentioned, or on tasks it has created.
    """
    said = await tasks.comment(call.session, call.actor, board, task_id, body.message)
    return TaskCommentRead.of(said)
