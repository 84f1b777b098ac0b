"""Finding the conversation of a board, and who asks the questions in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import ScalarSelect, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import NotFound
from models import (
    Agent,
    Board,
    Gateway,
    OnboardingMessage,
    OnboardingSession,
    OnboardingStatus,
)
from services.onboarding import transcripts
from services.onboarding.transcripts import Transcript

OPEN = (OnboardingStatus.ACTIVE, OnboardingStatus.COMPLETED)


@dataclass(frozen=True)
class Conversation:
    """A conversation, with all that was said and the agent that asks, if there is one."""

    session: OnboardingSession
    messages: Sequence[OnboardingMessage]
    asked_by: UUID | None

    @property
    def is_open(self) -> bool:
        """Whether it can go on."""
        return self.session.status in OPEN

    @property
    def waiting_for(self) -> Literal["agent", "person"] | None:
        """Whose turn it is: `agent`, `person`, or None when it is over."""
        if not self.is_open:
            return None
        return self.transcript.next if self.asked_by else "person"

    @property
    def waiting_since(self) -> datetime | None:
        """Since when it is the turn of whoever is waited for."""
        if not self.waiting_for:
            return None
        return self.transcript.since or self.session.created_at

    @property
    def wants(self) -> Literal["answer", "review"] | None:
        """What the agent wants of the person: an answer, a look at its draft, or None: nothing."""
        if self.asked_by is None or self.waiting_for != "person":
            return None
        if self.transcript.open is not None:
            return "answer"
        return "review" if self.draft else None

    @property
    def draft(self) -> Mapping[str, Any]:
        """What the agent proposed last, whatever was kept as that; empty if it did not yet."""
        draft = self.session.draft_goal
        return draft if isinstance(draft, Mapping) else {}

    @cached_property
    def transcript(self) -> Transcript:
        """What was asked and answered."""
        return transcripts.read(self.messages)


class Asker(NamedTuple):
    """Who asks the questions of a board, and the gateway that runs it; without one, nobody."""

    agent: Agent | None = None
    gateway: Gateway | None = None


async def find(session: AsyncSession, board: Board) -> Conversation | None:
    """Return the board's last conversation, if there ever was one."""
    last = (
        select(OnboardingSession.id)
        .where(OnboardingSession.board_id == board.id)
        .order_by(OnboardingSession.created_at.desc(), OnboardingSession.id.desc())
        .limit(1)
    )
    query = (
        select(OnboardingSession, OnboardingMessage, asking(board))
        .outerjoin(OnboardingMessage, OnboardingMessage.session_id == OnboardingSession.id)
        .where(OnboardingSession.id == last.scalar_subquery())
        .order_by(OnboardingMessage.seq)
        .execution_options(populate_existing=True)
    )
    rows = (await session.execute(query)).all()
    if not rows:
        return None
    return Conversation(rows[0][0], [row[1] for row in rows if row[1]], rows[0][2])


async def get(session: AsyncSession, board: Board) -> Conversation:
    """Return the board's last conversation. Raises NotFound."""
    found = await find(session, board)
    if found is None:
        raise NotFound("onboarding_not_found", "No onboarding was started on this board.")
    return found


async def asker(session: AsyncSession, board: Board) -> Asker:
    """Return the agent that looks after the board's gateway, and the gateway."""
    query = (
        select(Agent, Gateway)
        .select_from(Gateway)
        .outerjoin(Agent, (Agent.gateway_id == Gateway.id) & Agent.board_id.is_(None))
        .where(Gateway.id == board.gateway_id)
    )
    row = (await session.execute(query)).one_or_none()
    return Asker(*row) if row else Asker()


def asking(board: Board | type[Board]) -> ScalarSelect[UUID]:
    """Select the id of the agent that looks after the gateway of a board, or of each board."""
    mains = select(Agent.id).where(Agent.gateway_id == board.gateway_id, Agent.board_id.is_(None))
    first = mains.order_by(Agent.created_at, Agent.id).limit(1)
    return first.correlate(Board).scalar_subquery()
