"""Read onboarding conversations, their interviewers, and what is pending for users."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.errors import NotFound
from core.paging import MAX_PAGE_SIZE
from models import (
    Agent,
    Board,
    Gateway,
    Member,
    Message,
    OnboardingMessage,
    OnboardingSession,
    OnboardingStatus,
)
from services import boards
from services.onboarding import transcript as onboarding_transcript
from services.onboarding.transcript import Transcript

OPEN_STATUSES = (OnboardingStatus.ACTIVE, OnboardingStatus.COMPLETED)
InterviewerAgent = aliased(Agent)


@dataclass(frozen=True)
class Conversation:
    """An onboarding session with its messages and the interviewing agent, if there is one."""

    session: OnboardingSession
    messages: Sequence[OnboardingMessage]
    interviewer_id: UUID | None

    @property
    def is_open(self) -> bool:
        """Whether it can be continued."""
        return self.session.status in OPEN_STATUSES

    @property
    def waiting_for(self) -> Literal["agent", "person"] | None:
        """Whose turn it is: `agent`, `person`, or None if it is closed."""
        if not self.is_open:
            return None
        return self.transcript.next_speaker if self.interviewer_id else "person"

    @property
    def waiting_since(self) -> datetime | None:
        """The time since when it has been their turn."""
        if not self.waiting_for:
            return None
        return self.transcript.waiting_since or self.session.created_at

    @property
    def pending_action(self) -> Literal["answer", "review"] | None:
        """What the user has to do: answer a question, review a draft, or nothing (None)."""
        if self.interviewer_id is None or self.waiting_for != "person":
            return None
        if self.transcript.open_question is not None:
            return "answer"
        return "review" if self.draft else None

    @property
    def draft(self) -> Mapping[str, Any]:
        """The last draft of the agent; empty if there is none or the stored value is invalid."""
        draft = self.session.draft_goal
        return draft if isinstance(draft, Mapping) else {}

    @cached_property
    def transcript(self) -> Transcript:
        """The questions and answers."""
        return onboarding_transcript.parse_transcript(self.messages)


class Interviewer(NamedTuple):
    """The agent that asks the questions for a board, and its gateway. Both may be missing."""

    agent: Agent | None = None
    gateway: Gateway | None = None


async def find_conversation(session: AsyncSession, board: Board) -> Conversation | None:
    """Return the last conversation of a board, if there is one."""
    last = (
        select(OnboardingSession.id)
        .where(OnboardingSession.board_id == board.id)
        .order_by(OnboardingSession.created_at.desc(), OnboardingSession.id.desc())
        .limit(1)
    )
    query = (
        select(OnboardingSession, OnboardingMessage, interviewer_id_query(board))
        .outerjoin(OnboardingMessage, OnboardingMessage.session_id == OnboardingSession.id)
        .where(OnboardingSession.id == last.scalar_subquery())
        .order_by(OnboardingMessage.seq)
        .execution_options(populate_existing=True)
    )
    rows = (await session.execute(query)).all()
    if not rows:
        return None
    return Conversation(rows[0][0], [row[1] for row in rows if row[1]], rows[0][2])


async def get_conversation(session: AsyncSession, board: Board) -> Conversation:
    """Return the last conversation of a board. Raises NotFound."""
    conversation = await find_conversation(session, board)
    if conversation is None:
        raise NotFound("onboarding_not_found", "No onboarding was started on this board.")
    return conversation


async def load_interviewer(session: AsyncSession, board: Board) -> Interviewer:
    """Load the main agent of the board's gateway, and the gateway."""
    query = (
        select(Agent, Gateway)
        .select_from(Gateway)
        .outerjoin(Agent, (Agent.gateway_id == Gateway.id) & Agent.board_id.is_(None))
        .where(Gateway.id == board.gateway_id)
    )
    row = (await session.execute(query)).one_or_none()
    return Interviewer(*row) if row else Interviewer()


def interviewer_id_query(board: Board | type[Board]) -> ScalarSelect[UUID]:
    """Select the id of the main agent of a board's gateway, for one or each board of a query."""
    mains = select(Agent.id).where(Agent.gateway_id == board.gateway_id, Agent.board_id.is_(None))
    first = mains.order_by(Agent.created_at, Agent.id).limit(1)
    return first.correlate(Board).scalar_subquery()


async def find_last_message(
    session: AsyncSession, board: Board, conversation: Conversation
) -> Message | None:
    """Return the last message to the interviewing agent of a conversation, if there is one."""
    query = select(Message).where(
        Message.agent_id == conversation.interviewer_id,
        Message.board_id == board.id,
        Message.key.startswith("onboarding:"),
        Message.created_at >= conversation.session.created_at,
    )
    return await session.scalar(query.order_by(Message.seq.desc()).limit(1))


@dataclass(frozen=True)
class PendingOnboarding:
    """A conversation in which a user has to answer a question or review a draft."""

    conversation: Conversation
    board: Board
    agent: Agent
    pending_action: Literal["answer", "review"]

    @property
    def id(self) -> UUID:
        """The id of the conversation."""
        return self.conversation.session.id

    @property
    def question(self) -> str:
        """The open question, or "" for a draft."""
        exchange = self.conversation.transcript.open_question
        return exchange.question if exchange else ""

    @property
    def since(self) -> datetime:
        """The time since when it has been pending."""
        return self.conversation.waiting_since or self.conversation.session.created_at


async def list_pending_onboardings(
    session: AsyncSession, member: Member, *, board_id: UUID | None = None
) -> Sequence[PendingOnboarding]:
    """Return what is pending on the boards that a member may change, newest first.

    It takes two statements, for any number of boards.
    """
    rows = (await session.execute(_open_sessions_query(member, board_id))).all()
    messages = await _load_messages(session, [row[0].id for row in rows])
    pending = [_pending_onboarding(*row, messages) for row in rows]
    return sorted(filter(None, pending), key=lambda one: one.since, reverse=True)


async def count_pending_by_board(session: AsyncSession, member: Member) -> Mapping[UUID, int]:
    """Count what is pending for a member, by board id. Boards without anything are omitted."""
    return Counter(one.board.id for one in await list_pending_onboardings(session, member))


def _open_sessions_query(member: Member, board_id: UUID | None) -> Select[*tuple[Any, ...]]:
    """Select the open conversations with their boards and interviewing agents."""
    query = (
        select(OnboardingSession, Board, InterviewerAgent)
        .join(Board, Board.id == OnboardingSession.board_id)
        .join(InterviewerAgent, InterviewerAgent.gateway_id == Board.gateway_id)
        .where(
            OnboardingSession.status.in_(OPEN_STATUSES),
            InterviewerAgent.id == interviewer_id_query(Board),
            Board.organization_id == member.organization_id,
            Board.id.in_(boards.writable_board_ids_query(member.user)),
        )
        .order_by(OnboardingSession.updated_at.desc(), OnboardingSession.id)
        .limit(MAX_PAGE_SIZE)
    )
    return query if board_id is None else query.where(Board.id == board_id)


async def _load_messages(
    session: AsyncSession, ids: Collection[UUID]
) -> Mapping[UUID, Sequence[OnboardingMessage]]:
    """Return the messages of conversations, in order, by conversation id."""
    messages: defaultdict[UUID, list[OnboardingMessage]] = defaultdict(list)
    if ids:
        query = select(OnboardingMessage).where(OnboardingMessage.session_id.in_(ids))
        for message in await session.scalars(query.order_by(OnboardingMessage.seq)):
            messages[message.session_id].append(message)
    return messages


def _pending_onboarding(
    session: OnboardingSession,
    board: Board,
    agent: Agent,
    messages: Mapping[UUID, Sequence[OnboardingMessage]],
) -> PendingOnboarding | None:
    """Return what is pending in a conversation; None if nothing is."""
    conversation = Conversation(session, messages.get(session.id, ()), agent.id)
    action = conversation.pending_action
    return PendingOnboarding(conversation, board, agent, action) if action else None
