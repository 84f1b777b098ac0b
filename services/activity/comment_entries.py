"""List the comments of several boards, with their tasks and authors."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import AnySelect, Source, choose_columns
from core.paging import Page, Paging
from models import (
    AGENT_NAME_COLUMNS,
    USER_NAME_COLUMNS,
    Agent,
    Board,
    BoardCounts,
    Comment,
    Member,
    Task,
    User,
)
from services import board_pages, boards, counters
from services.board_pages import BoardPageQuery


@dataclass(frozen=True)
class CommentEntry:
    """A comment with its author, task and board."""

    comment: Comment
    task: Task
    board: Board
    agent: Agent | None
    user: User | None

    @property
    def agent_name(self) -> str | None:
        """The name of the agent that wrote it, if any."""
        return self.agent.name if self.agent else None

    @property
    def agent_role(self) -> str | None:
        """The role in the agent's profile, if any."""
        role = (self.agent.identity_profile or {}).get("role") if self.agent else None
        return role.strip() or None if isinstance(role, str) else None

    @property
    def author_name(self) -> str | None:
        """The name of the author, if it still exists."""
        return self.agent_name or (self.user.display_name if self.user else None)


async def list_comment_entries(
    source: Source, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[CommentEntry]:
    """Return the comments on the boards that a member may read, or on one of them, newest first.

    Raises NotFound or Forbidden for a board that the member may not read.
    """
    if board_id is not None:
        await boards.get_board(source, member, board_id)
    parameters = {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "board_id": board_id,
    }
    query = _build_comments_page(of_board=board_id is not None)
    return await query.fetch_page(source, paging, **parameters)


@cache
def _build_comments_page(*, of_board: bool) -> BoardPageQuery[CommentEntry]:
    board_ids = board_pages.THIS_BOARD_ID if of_board else boards.READABLE_BOARD_IDS
    ids = board_pages.newest_rows_query(
        board_ids, select(Comment.id, Comment.created_at), Comment.board_id, Comment.created_at
    )
    newest_first = _comments_query().order_by(Comment.created_at.desc(), Comment.id.desc())
    total = counters.sum_counts([BoardCounts.comments], board_ids)
    return BoardPageQuery(ids, newest_first, Comment.id, total, lambda row: CommentEntry(*row))


async def load_comment_entries(
    session: AsyncSession, organization_id: UUID, comment_ids: Collection[UUID]
) -> dict[UUID, CommentEntry]:
    """Return those of these comments that belong to the organization, by id."""
    if not comment_ids:
        return {}
    query = _comments_query().where(
        Board.organization_id == organization_id, Comment.id.in_(comment_ids)
    )
    return {row[0].id: CommentEntry(*row) for row in await session.execute(query)}


def _comments_query() -> AnySelect:
    query = (
        select(Comment, Task, Board, Agent, User)
        .join(Task, Task.id == Comment.task_id)
        .join(Board, Board.id == Comment.board_id)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
    )
    shown = {
        Task: ("id", "title"),
        Board: ("id", "name"),
        Agent: AGENT_NAME_COLUMNS,
        User: USER_NAME_COLUMNS,
    }
    return choose_columns(query, shown)
