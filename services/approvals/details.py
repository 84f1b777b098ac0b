"""An approval as it is shown: with its board, its tasks, and who asked and decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from kit.errors import NotFound
from models import Agent, Approval, ApprovalStatus, ApprovalTask, Board, Task, User
from services import boards
from services.approvals.rules import question, reason_in

Asker = aliased(User)
Rows: TypeAlias = Select[*tuple[Any, ...]]


class AskedAbout(NamedTuple):
    """A task, as far as a question about it shows it."""

    id: UUID
    title: str


@dataclass(frozen=True)
class ApprovalDetail:
    """An approval with the board, the tasks and the people that it is shown with."""

    approval: Approval
    board: Board
    agent: Agent | None
    decider: User | None
    asker: User | None  # the person who asked, where it was not an agent
    tasks: Sequence[AskedAbout]

    @property
    def task_ids(self) -> list[UUID]:
        """The tasks it is about, the primary one first."""
        primary = [self.approval.task_id] if self.approval.task_id else []
        return [task.id for task in self.tasks] or primary

    @property
    def task_titles(self) -> list[str]:
        """The titles of those tasks that still exist, in the same order."""
        return [task.title for task in self.tasks]

    @property
    def question(self) -> str:
        """What is asked, in one sentence."""
        return question(self.approval, self.task_titles)

    @property
    def reason(self) -> str | None:
        """Why it is asked."""
        return reason_in(self.approval.payload)

    @property
    def asked_by(self) -> str:
        """The name of whoever asks."""
        if self.agent:
            return self.agent.name
        return self.asker.called if self.asker else "Somebody"

    @property
    def decided_by(self) -> str | None:
        """The name of whoever decided."""
        return self.decider.called if self.decider else None

    @property
    def answer(self) -> ApprovalStatus:
        """What people see: also a decision that can still be taken back."""
        return self.approval.decided_status or self.approval.status

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has answered yet."""
        return self.answer is ApprovalStatus.PENDING

    @property
    def is_settling(self) -> bool:
        """Whether the answer can still be taken back."""
        return not self.is_waiting and self.approval.status is ApprovalStatus.PENDING


def rows() -> Rows:
    """Select approvals, each with what `from_row` makes an ApprovalDetail of."""
    return (
        select(Approval, Board, Agent, User, Asker, _tasks())
        .join(Board, Board.id == Approval.board_id)
        .outerjoin(Agent, Agent.id == Approval.agent_id)
        .outerjoin(User, User.id == Approval.decided_by_user_id)
        .outerjoin(Asker, Asker.id == Approval.requested_by_user_id)
    )


def from_row(row: Sequence[Any]) -> ApprovalDetail:
    """Make an ApprovalDetail of a row of `rows`."""
    *found, tasks = row
    return ApprovalDetail(*found, [AskedAbout(UUID(id), title) for id, title in tasks])


async def one(session: AsyncSession, board: Board, approval_id: UUID) -> ApprovalDetail:
    """Return an approval of this board as it is in the database now. Raises NotFound."""
    query = rows().where(Approval.board_id == board.id, Approval.id == approval_id)
    query = query.execution_options(populate_existing=True)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise not_found()
    return from_row(row)


async def board_of(session: AsyncSession, user: User, approval_id: UUID) -> UUID:
    """Return the board of an approval in the user's organizations. Raises NotFound."""
    found = await boards_of(session, user, [approval_id])
    if approval_id not in found:
        raise not_found()
    return found[approval_id]


async def boards_of(
    session: AsyncSession, user: User, approval_ids: Sequence[UUID]
) -> dict[UUID, UUID]:
    """Return the boards of those of the approvals that are in the user's organizations."""
    seen = boards.seen_by(user).subquery()
    query = (
        select(Approval.id, Approval.board_id)
        .join(seen, seen.c.id == Approval.board_id)
        .where(Approval.id.in_(approval_ids))
    )
    return {id: board_id for id, board_id in await session.execute(query)}


def not_found() -> NotFound:
    """Make the answer to who asks for an approval that is not there, or not for them."""
    return NotFound("approval_not_found", "There is no such question.")


async def every(session: AsyncSession, query: Rows) -> list[ApprovalDetail]:
    """Run a query of `rows` for all that it finds."""
    return [from_row(row) for row in await session.execute(query)]


def _tasks() -> ColumnElement[Any]:
    link = ApprovalTask
    refs = func.jsonb_agg(
        aggregate_order_by(
            func.jsonb_build_array(Task.id, Task.title), link.position, link.created_at, link.id
        )
    )
    query = select(func.coalesce(refs, func.jsonb_build_array()))
    query = query.join_from(link, Task, Task.id == link.task_id)
    return query.where(link.approval_id == Approval.id).correlate(Approval).scalar_subquery()
