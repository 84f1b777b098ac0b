"""A board at a glance, for agents that have just woken up."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from kit.together import together
from models import Agent, Board
from services import agents, approvals, memory, tasks
from services.approvals import ApprovalDetail
from services.memory import NoteDetail
from services.tasks import TaskDetail

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
    """Return all that is on a board that the caller may read, in one statement."""
    listed, crew, asked, said, [pending] = await together(
        session,
        tasks.newest(board),
        agents.newest(board),
        approvals.newest(board, most=NEWEST),
        memory.newest_chat(board, most=NEWEST),
        approvals.pending_count(board),
    )
    return Snapshot(board, listed, crew, asked, said[::-1], pending)
