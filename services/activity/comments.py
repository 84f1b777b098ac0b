"""What is said about tasks, across the boards that somebody reads."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Page, Paging, paged_rows
from models import Agent, Board, Comment, Member, Task, User
from services import boards


@dataclass(frozen=True)
class CommentEntry:
    """A comment, with who said it and about what."""

    comment: Comment
    task: Task
    board: Board
    agent: Agent | None
    user: User | None

    @property
    def agent_role(self) -> str | None:
        """What the agent's profile says that it is."""
        role = (self.agent.identity_profile or {}).get("role") if self.agent else None
        return role.strip() or None if isinstance(role, str) else None

    @property
    def author_name(self) -> str | None:
        """Who said it, if they are still there."""
        if self.agent is not None:
            return self.agent.name
        return self.user.called if self.user is not None else None


async def comment_feed(
    session: AsyncSession, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[CommentEntry]:
    """Return what was said on the boards that a member reads, newest first.

    Raises NotFound or Forbidden for a board that the member may not read.
    """
    query = _comments()
    if board_id is not None:
        board = await boards.get(session, member.user, board_id)
        query = query.where(Comment.board_id == board.id)
    else:
        readable = boards.readable(member.user, member.organization_id)
        query = query.where(Comment.board_id.in_(readable))
    newest = query.order_by(Comment.created_at.desc(), Comment.id.desc())
    return (await paged_rows(session, newest, paging)).map(lambda row: CommentEntry(*row))


async def comments_of(
    session: AsyncSession, organization_id: UUID, comment_ids: Collection[UUID]
) -> dict[UUID, CommentEntry]:
    """Return those of these comments that are of the organization."""
    if not comment_ids:
        return {}
    query = _comments().where(Board.organization_id == organization_id, Comment.id.in_(comment_ids))
    return {row[0].id: CommentEntry(*row) for row in await session.execute(query)}


def _comments() -> Select[*tuple[Any, ...]]:
    return (
        select(Comment, Task, Board, Agent, User)
        .join(Task, Task.id == Comment.task_id)
        .join(Board, Board.id == Comment.board_id)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
    )
