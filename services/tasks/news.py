"""What is to be written down about tasks, once everything is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Board, EventType, Task
from services import events, messages


@dataclass(frozen=True)
class News:
    """Something that happened to a task. `id` is that of the comment, if it is one."""

    type: EventType
    task: Task
    data: Mapping[str, object] = field(default_factory=dict)
    id: UUID | None = None


async def announce(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    news: Sequence[News],
    *,
    drafts: Sequence[messages.Draft] = (),
) -> None:
    """Record news in their order, each with the task's title as it is now, and tell agents."""
    await messages.queue(session, drafts, happened=happened(actor, board, news))


def happened(actor: Actor, board: Board, news: Sequence[News]) -> list[events.Happened]:
    """Return news as they are to be recorded."""
    return [
        events.Happened(
            one.type,
            actor,
            organization_id=board.organization_id,
            board=board,
            task=one.task,
            id=one.id,
            data={"title": one.task.title, **one.data},
        )
        for one in news
    ]
