"""What waits for a person in the conversations about all of their boards, in one list."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from kit.paging import MOST
from models import Agent, Board, Member, OnboardingMessage, OnboardingSession
from services import boards
from services.onboarding.finding import OPEN, Conversation, asking

Asking = aliased(Agent)


@dataclass(frozen=True)
class Waiting:
    """What an agent wants of the people of a board: an answer, or a look at its draft."""

    conversation: Conversation
    board: Board
    agent: Agent
    wants: Literal["answer", "review"]

    @property
    def id(self) -> UUID:
        """The id of the conversation."""
        return self.conversation.session.id

    @property
    def question(self) -> str:
        """The question that waits, "" of a draft."""
        asked = self.conversation.transcript.open
        return asked.question if asked else ""

    @property
    def since(self) -> datetime:
        """Since when it waits."""
        return self.conversation.waiting_since or self.conversation.session.created_at


async def waiting(
    session: AsyncSession, member: Member, *, board_id: UUID | None = None
) -> Sequence[Waiting]:
    """Return what waits for a person on the boards that they may change, newest first.

    That is in two statements, however many boards are being set up.
    """
    rows = (await session.execute(_open_ones(member, board_id))).all()
    said = await _said(session, [row[0].id for row in rows])
    found = [_of(*row, said) for row in rows]
    return sorted(filter(None, found), key=lambda one: one.since, reverse=True)


async def waiting_by_board(session: AsyncSession, member: Member) -> Mapping[UUID, int]:
    """Count what waits for this member, for each board that wants something."""
    return Counter(one.board.id for one in await waiting(session, member))


def _open_ones(member: Member, board_id: UUID | None) -> Select[*tuple[Any, ...]]:
    """Select the conversations that go on, with their boards and the agents that ask."""
    query = (
        select(OnboardingSession, Board, Asking)
        .join(Board, Board.id == OnboardingSession.board_id)
        .join(Asking, Asking.gateway_id == Board.gateway_id)
        .where(
            OnboardingSession.status.in_(OPEN),
            Asking.id == asking(Board),
            Board.organization_id == member.organization_id,
            Board.id.in_(boards.writable(member.user)),
        )
        .order_by(OnboardingSession.updated_at.desc(), OnboardingSession.id)
        .limit(MOST)
    )
    return query if board_id is None else query.where(Board.id == board_id)


async def _said(
    session: AsyncSession, ids: Collection[UUID]
) -> Mapping[UUID, Sequence[OnboardingMessage]]:
    """Return all that was said in conversations, in order."""
    said: defaultdict[UUID, list[OnboardingMessage]] = defaultdict(list)
    if ids:
        query = select(OnboardingMessage).where(OnboardingMessage.session_id.in_(ids))
        for message in await session.scalars(query.order_by(OnboardingMessage.seq)):
            said[message.session_id].append(message)
    return said


def _of(
    session: OnboardingSession,
    board: Board,
    agent: Agent,
    said: Mapping[UUID, Sequence[OnboardingMessage]],
) -> Waiting | None:
    """Return what waits in a conversation, None if nothing does."""
    conversation = Conversation(session, said.get(session.id, ()), agent.id)
    wants = conversation.wants
    return Waiting(conversation, board, agent, wants) if wants else None
