"""Asking back: a person wants to know more before they answer."""

import re
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Invalid
from models import Agent, EventType, User
from services import boards, tasks
from services.approvals.details import ApprovalDetail, board_of, one
from services.approvals.facts import record
from services.approvals.rules import checked_text

MENTIONABLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")  # contract, 1.17


async def ask_back(
    session: AsyncSession, user: User, approval_id: UUID, *, question: str
) -> ApprovalDetail:
    """Ask the agent a question, as a comment on the task. The approval stays open.

    Raises NotFound, Forbidden, Conflict if it is answered already, and Invalid if the question is
    blank or there is no task to post it on.
    """
    text = checked_text(question, "question")
    if not text:
        raise Invalid("question_required", "Write what you want to know.", field="question")
    board = await boards.hold(session, user, await board_of(session, user, approval_id))
    detail = await one(session, board, approval_id)
    if not detail.is_waiting:
        raise Conflict("already_decided", "This is answered already.", status=detail.answer.value)
    if not detail.tasks:
        raise Invalid("no_linked_task", "There is no task to post a question on.", field="question")
    detail.approval.asked_back_at = now()
    await session.flush()
    await tasks.comment(session, user, board, detail.tasks[0].id, addressed(detail.agent, text))
    await record(session, EventType.APPROVAL_ASKED_BACK, user, detail)
    return detail


def addressed(agent: Agent | None, text: str) -> str:
    """Put the agent's name before a text, as a mention if it has a name that can be mentioned."""
    if agent is None:
        return text
    if agent.is_board_lead:
        return f"@lead {text}"
    names = [agent.name, *agent.name.split()[:1]]
    mention = next((name for name in names if MENTIONABLE.fullmatch(name)), None)
    return f"@{mention} {text}" if mention else f"{agent.name}: {text}"
