"""Replies of users: notes in which the agent of a gateway brings the answer to a lead's question.

A lead acts on such a note as on the word of a user, so only an answer to an open question counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Forbidden
from models import Actor, Agent, Board, UserQuestionRecord, new_id
from services import notifications
from services.memory.rules import MemoryScope

USER_REPLY_TAG = "user_reply"
USER_REPLY_SOURCE = "user_via_gateway_main"


def is_user_reply(tags: Sequence[Any] | None, source: str | None) -> bool:
    """Return whether a note with these tags and this source claims to be the reply of a user."""
    return USER_REPLY_TAG in (tags or ()) or source == USER_REPLY_SOURCE


async def record_user_question(
    session: AsyncSession, board: Board, main: Agent, correlation_id: str
) -> None:
    """Record that the agent of the board's gateway is asked to ask a user."""
    question = UserQuestionRecord(
        id=new_id(),
        board_id=board.id,
        main_agent_id=main.id,
        correlation_id=correlation_id,
        created_at=now(),
    )
    session.add(question)
    await session.flush()


async def check_user_reply(
    session: AsyncSession, actor: Actor, scope: MemoryScope, fields: Mapping[str, Any]
) -> None:
    """Close the question that a new note answers, if the note claims to be the reply of a user.

    Raises Forbidden unless the actor is the agent of the board's gateway, and Conflict if it was
    not asked that question or has answered it already.
    """
    if not is_user_reply(fields["tags"], fields["source"]):
        return
    if scope.board is None or not _is_agent_of_gateway(actor, scope.board):
        raise forbidden_user_reply()
    answered = update(UserQuestionRecord).where(
        UserQuestionRecord.board_id == scope.board.id,
        UserQuestionRecord.main_agent_id == actor.id,
        UserQuestionRecord.correlation_id == (fields["correlation_id"] or ""),
        UserQuestionRecord.answered_at.is_(None),
    )
    answered = answered.values(answered_at=now()).returning(UserQuestionRecord.id)
    if not (await session.scalars(answered)).all():
        reason = (
            "No open question of the lead has this correlation_id. Send the correlation_id of the"
            " LEAD REQUEST: ASK USER message that this note answers; each is answered once."
        )
        raise Conflict("user_question_not_open", reason)
    await notifications.resolve_chat_questions(session, scope.board)


def forbidden_user_reply() -> Forbidden:
    """Build the error for a note that claims to be the reply of a user."""
    reason = (
        f"Only the agent of the board's gateway writes notes with the tag {USER_REPLY_TAG} or the"
        f" source {USER_REPLY_SOURCE}, to answer a question of the lead."
    )
    return Forbidden("user_reply_forbidden", reason)


def _is_agent_of_gateway(actor: Actor, board: Board) -> bool:
    return (
        isinstance(actor, Agent)
        and actor.board_id is None
        and actor.gateway_id is not None
        and actor.gateway_id == board.gateway_id
    )
