"""The users who watch a task: they are notified of comments and moves."""

from uuid import UUID

from api.framework.fields import Ok, ResponseModel
from api.framework.handler import RequestContext, error_responses, reads_only
from core.json_responses import Encoded, json_id
from models import Board
from services import tasks


class WatcherRead(ResponseModel):
    """A user who watches a task, and can read its board."""

    user_id: UUID
    name: str


@reads_only
@error_responses(404)
async def list_task_watchers(
    context: RequestContext, board: Board, task_id: UUID
) -> Encoded[list[WatcherRead]]:
    """List the users who watch a task, by name."""
    found = await tasks.list_watchers(context.source, board, task_id)
    if not found:
        await tasks.get_task(context.source, board, task_id)
    return Encoded([{"user_id": json_id(one.id), "name": one.name} for one in found])


@error_responses(404)
async def watch_task(context: RequestContext, board: Board, task_id: UUID) -> Ok:
    """Watch a task. Nothing changes if you watch it already."""
    await tasks.watch_task(context.session, context.user, board, task_id)
    return Ok()


@error_responses(404)
async def unwatch_task(context: RequestContext, board: Board, task_id: UUID) -> Ok:
    """Stop watching a task, until you comment on it, are mentioned in it, or get it."""
    await tasks.unwatch_task(context.session, context.user, board, task_id)
    return Ok()
