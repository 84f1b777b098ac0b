"""A board at a glance, for agents that have just woken up."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Paging
from models import Agent, Board
from services import approvals, memory, tasks
from services.approvals import ApprovalDetail
from services.memory import NoteDetail
from services.tasks import TaskDetail

ALL = Paging(limit=2**31 - 1)
NEWEST = 200  # approvals, and messages of the chat (contract, 3.6)


@dataclass(frozen=True)
class Snapshot:
    """All that is on a board."""

    board: Board
    tasks: Sequence[TaskDetail]  # all of them, newest first
    agents: Sequence[Agent]  # newest first
    approvals: Sequence[ApprovalDetail]  # newest first
    chat_messages: Sequence[NoteDetail]  # the newest, oldest first
    pending_approvals_count: int


async def snapshot(session: AsyncSession, board: Board) -> Snapshot:
    """Return all that is on a board that the caller may read."""
    agents = select(Agent).where(Agent.board_id == board.id)
    newest = (Agent.created_at.desc(), Agent.id.desc())
    asked = await approvals.listed(session, board, Paging(limit=NEWEST))
    return Snapshot(
        board=board,
        tasks=(await tasks.listed(session, board, ALL)).items,
        agents=(await session.scalars(agents.order_by(*newest))).all(),
        approvals=asked.items,
        chat_messages=await memory.newest_chat(session, board, most=NEWEST),
        pending_approvals_count=(await approvals.counts(session, board, [])).pending,
    )
